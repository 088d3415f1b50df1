//! Reading a destination back: its keys, page by page, and an object's bytes as a stream.
//!
//! Nothing here knows what an object holds. A read that breaks off goes on where it broke, a few times, and then fails: who reads can wait, or
//! be asked again, and nothing is lost by it. A page of keys and a piece of an object are all that is held at a time.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use aws_sdk_s3::config::{Config, ResponseChecksumValidation};
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::dir::DirStore;
use super::s3::S3Store;
use super::s3_faults::answer;
use super::tries::Tries;
use super::{Destination, Doing, blocking};
use crate::error::StoreError;

/// Keys in a page; S3 gives no more at once.
const PAGE_KEYS: i32 = 1_000;
/// Bytes of a file that are read at once.
const PIECE_BYTES: usize = 256 << 10;

/// An object as a listing names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key, relative to the destination's root.
    pub key: String,
    /// Its length.
    pub bytes: u64,
}

impl Destination {
    /// All keys below the root, folder by folder or page by page. Of a directory, what is hidden (the program's own state, files that are being
    /// written) is left out.
    pub fn list(&self) -> Listing {
        self.list_by(String::new(), PAGE_KEYS)
    }

    /// The keys below one folder likewise, which is named without a slash at its end; they are relative to the destination's root too.
    pub fn list_below(&self, folder: &str) -> Listing {
        self.list_by(folder.to_owned(), PAGE_KEYS)
    }

    fn list_by(&self, folder: String, page_keys: i32) -> Listing {
        Listing(match self {
            Self::Dir(store) => Pages::Dir { store: store.clone(), folders: vec![folder] },
            Self::S3(store) => {
                let below = if folder.is_empty() { folder } else { folder + "/" };
                Pages::S3 { store: store.clone(), below, page_keys, next: Some(None) }
            }
        })
    }

    /// Opens an object by its key; nothing where there is none.
    ///
    /// # Errors
    /// What keeps it from being read, after a few tries, and a key that no destination has.
    pub fn open<'a>(&'a self, key: &'a str) -> Doing<'a, Option<ObjectBody>> {
        Box::pin(async move {
            match self {
                Self::Dir(store) => {
                    let path = store.path(key)?;
                    let opened = blocking(move || match File::open(&path) {
                        Ok(file) => Ok(Some((file, path))),
                        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                        Err(error) => Err(StoreError::file("read", &path)(error)),
                    });
                    Ok(opened.await?.map(|(file, path)| ObjectBody(Body::File { file: Some(file), path })))
                }
                Self::S3(store) => {
                    let mut remote = Remote::new(store.clone(), store.key(key));
                    Ok(remote.open().await?.then_some(ObjectBody(Body::S3(remote))))
                }
            }
        })
    }
}

/// A destination's keys, a page at a time.
#[derive(Debug)]
pub struct Listing(Pages);

#[derive(Debug)]
enum Pages {
    /// Folders yet to be looked at, the next one last.
    Dir { store: DirStore, folders: Vec<String> },
    /// The token of the next page; `Some(None)`: the first, `None`: there is none.
    S3 { store: S3Store, below: String, page_keys: i32, next: Option<Option<String>> },
}

impl Listing {
    /// The next page, which may be empty; nothing behind the last.
    ///
    /// # Errors
    /// What keeps it from being listed, after a few tries; a directory that does not exist too.
    pub fn next_page(&mut self) -> Doing<'_, Option<Vec<ListedObject>>> {
        Box::pin(self.0.next_page())
    }
}

impl Pages {
    async fn next_page(&mut self) -> Result<Option<Vec<ListedObject>>, StoreError> {
        match self {
            Self::Dir { store, folders } => {
                let Some(folder) = folders.pop() else { return Ok(None) };
                let root = store.root().to_owned();
                let (objects, inner) = blocking(move || list_folder(&root, &folder)).await?;
                folders.extend(inner.into_iter().rev());
                Ok(Some(objects))
            }
            Self::S3 { store, below, page_keys, next } => {
                let Some(token) = next.take() else { return Ok(None) };
                let root = store.key("");
                let client = store.client().await;
                let mut tries = Tries::default();
                let page = loop {
                    let request = client
                        .list_objects_v2()
                        .bucket(store.bucket())
                        .prefix(format!("{root}{below}"))
                        .max_keys(*page_keys)
                        .set_continuation_token(token.clone());
                    match request.send().await {
                        Ok(page) => break page,
                        Err(error) => tries.again(store.fault(&error, "", "s3:ListBucket")).await?,
                    }
                };
                *next = page
                    .next_continuation_token()
                    .filter(|_| page.is_truncated() == Some(true))
                    .map(|token| Some(token.to_owned()));
                let listed = page.contents().iter().filter_map(|object| {
                    let key = object.key()?.strip_prefix(&root)?.to_owned();
                    Some(ListedObject {
                        key,
                        bytes: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                    })
                });
                Ok(Some(listed.collect()))
            }
        }
    }
}

/// The objects in one folder of a directory, and the folders in it, both in order.
fn list_folder(root: &Path, folder: &str) -> Result<(Vec<ListedObject>, Vec<String>), StoreError> {
    let path = root.join(folder);
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound && !folder.is_empty() => return Ok(Default::default()),
        Err(error) => return Err(StoreError::file("list", &path)(error)),
    };
    let (mut objects, mut folders) = (Vec::new(), Vec::new());
    for entry in entries {
        let entry = entry.map_err(StoreError::file("list", &path))?;
        let Some(name) = entry.file_name().to_str().filter(|name| !name.starts_with('.')).map(str::to_owned) else {
            continue;
        };
        let key = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        // A folder behind a link may lie anywhere, the root itself included.
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        match fs::metadata(entry.path()) {
            Ok(meta) if meta.is_file() => objects.push(ListedObject { key, bytes: meta.len() }),
            Ok(meta) if meta.is_dir() && !is_link => folders.push(key),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::file("look at", &entry.path())(error)),
        }
    }
    objects.sort_by(|one, other| one.key.cmp(&other.key));
    folders.sort();
    Ok((objects, folders))
}

/// An object that is being read.
#[derive(Debug)]
pub struct ObjectBody(Body);

#[derive(Debug)]
enum Body {
    /// The file is away while a piece of it is read.
    File {
        file: Option<File>,
        path: std::path::PathBuf,
    },
    S3(Remote),
}

impl ObjectBody {
    /// Its length in bytes, as the store says when it is opened.
    pub fn total_bytes(&self) -> u64 {
        match &self.0 {
            Body::File { file, .. } => file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |meta| meta.len()),
            Body::S3(remote) => remote.total_bytes,
        }
    }

    /// The next bytes; nothing at the end.
    ///
    /// # Errors
    /// What keeps the rest from being read, after a few tries.
    pub fn chunk(&mut self) -> Doing<'_, Option<Bytes>> {
        Box::pin(self.0.chunk())
    }
}

impl Body {
    async fn chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        match self {
            Self::S3(remote) => remote.chunk().await,
            Self::File { file, path } => {
                let Some(mut opened) = file.take() else { return Ok(None) };
                let name = path.clone();
                let read = blocking(move || match read_piece(&mut opened) {
                    Ok(piece) => Ok((piece, opened)),
                    Err(error) => Err(StoreError::file("read", &name)(error)),
                });
                let (piece, opened) = read.await?;
                if piece.is_empty() {
                    return Ok(None);
                }
                *file = Some(opened);
                Ok(Some(piece.into()))
            }
        }
    }
}

fn read_piece(file: &mut File) -> io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    file.take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

/// An object of a bucket, and how far it was read.
#[derive(Debug)]
struct Remote {
    store: S3Store,
    /// The whole key.
    key: String,
    /// What the store calls these very bytes: a read that goes on must go on in them.
    etag: Option<String>,
    read_bytes: u64,
    total_bytes: u64,
    stream: Option<ByteStream>,
    tries: Tries,
}

impl Remote {
    fn new(store: S3Store, key: String) -> Self {
        Self { store, key, etag: None, read_bytes: 0, total_bytes: 0, stream: None, tries: Tries::default() }
    }

    /// Asks for what was not read yet; false where there is no such object.
    async fn open(&mut self) -> Result<bool, StoreError> {
        loop {
            let client = self.store.client().await;
            // Whoever reads compares hashes of his own: a changed object is to be seen, not to be refused.
            let config = Config::builder().response_checksum_validation(ResponseChecksumValidation::WhenRequired);
            let request = client
                .get_object()
                .bucket(self.store.bucket())
                .key(&self.key)
                .set_if_match(self.etag.clone())
                .set_range((self.read_bytes > 0).then(|| format!("bytes={}-", self.read_bytes)));
            match request.customize().config_override(config).send().await {
                Ok(answer) => {
                    let rest = answer.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
                    self.total_bytes = self.read_bytes + rest;
                    self.etag = answer.e_tag().map(str::to_owned);
                    self.stream = Some(answer.body);
                    return Ok(true);
                }
                Err(error) => {
                    let is_missing =
                        answer(&error).is_some_and(|answer| answer.status == 404 && answer.code != "NoSuchBucket");
                    if is_missing && self.read_bytes == 0 {
                        return Ok(false);
                    }
                    self.tries.again(self.store.fault(&error, &self.key, "s3:GetObject")).await?;
                }
            }
        }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        loop {
            let Some(stream) = &mut self.stream else { return Ok(None) };
            let why = match stream.next().await {
                Some(Ok(piece)) => {
                    self.read_bytes += piece.len() as u64;
                    self.tries = Tries::default();
                    return Ok(Some(piece));
                }
                None if self.read_bytes >= self.total_bytes => return Ok(None),
                None => "it ended too early".to_owned(),
                Some(Err(error)) => error.to_string(),
            };
            let detail = format!("the read of {} broke off at byte {}: {why}", self.key, self.read_bytes);
            self.tries.again(self.store.unreachable(detail)).await?;
            self.open().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::DirConfig;
    use super::*;

    async fn keys(mut listing: Listing) -> Vec<(String, u64)> {
        let mut keys = Vec::new();
        while let Some(page) = listing.next_page().await.unwrap() {
            keys.extend(page.into_iter().map(|object| (object.key, object.bytes)));
        }
        keys
    }

    async fn content(destination: &Destination, key: &str) -> Option<Vec<u8>> {
        let mut body = destination.open(key).await.unwrap()?;
        let mut bytes = Vec::new();
        while let Some(piece) = body.chunk().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        assert!(body.chunk().await.unwrap().is_none(), "the end stays the end");
        Some(bytes)
    }

    #[tokio::test]
    async fn a_directory_is_read_back_without_what_is_hidden() {
        let dir = tempfile::tempdir().unwrap();
        let large: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        for (name, bytes) in
            [("b/2", &b"two"[..]), ("b/a/1", &large), ("a", b""), (".reassemble/x", b"x"), ("b/.t.tmp", b"x")]
        {
            fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
        let destination = Destination::Dir(DirStore::new(DirConfig::new(dir.path())));
        let expected =
            [("a", 0), ("b/2", 3), ("b/a/1", large.len() as u64)].map(|(key, bytes)| (key.to_owned(), bytes));
        assert_eq!(keys(destination.list()).await, expected);
        assert_eq!(keys(destination.list_below("b")).await, expected[1..]);
        assert_eq!(content(&destination, "b/a/1").await.unwrap(), large);
        assert_eq!(content(&destination, "b/none").await, None);
        assert!(destination.open("../a").await.is_err());
        let nowhere = Destination::Dir(DirStore::new(DirConfig::new(dir.path().join("nowhere"))));
        assert!(matches!(nowhere.list().next_page().await, Err(StoreError::File { action: "list", .. })));
    }

    mod s3 {
        use super::*;
        use crate::destination::S3Config;
        use crate::destination::s3_tests::{Reply, Server, coded, config, scripted, store as store_of};

        #[tokio::test]
        async fn a_bucket_is_listed_in_pages_below_its_prefix() {
            let server = Server::start().await;
            let store = server.store();
            for n in 0..5 {
                store.put(&server.object(&n.to_string(), format!("content {n}").as_bytes())).await.unwrap();
            }
            let elsewhere = store_of(S3Config { prefix: "pre/fixed".into(), ..config(server.address) }, "secret");
            elsewhere.put(&server.object("x", b"of another prefix")).await.unwrap();
            let destination = Destination::S3(store);
            let all = keys(destination.list()).await;
            assert_eq!(all.len(), 5);
            assert!(all.iter().all(|(key, bytes)| key.starts_with("retention=30d/") && *bytes == 9), "{all:?}");
            assert_eq!(keys(destination.list_by(String::new(), 2)).await, all);
            let (folder, _) = all[0].0.split_once('/').unwrap();
            assert_eq!(keys(destination.list_below(folder)).await, all);
            assert_eq!(keys(destination.list_below(&folder[..folder.len() - 1])).await, []);
            let body = destination.open(&all[3].0).await.unwrap().unwrap();
            assert_eq!(body.total_bytes(), 9);
            assert!(content(&destination, &all[3].0).await.unwrap().starts_with(b"content "));
            assert_eq!(content(&destination, "retention=30d/none").await, None);
        }

        #[tokio::test]
        async fn reads_are_tried_again_and_go_on_where_they_broke() {
            let cut = "content-range: bytes 0-9/10\r\netag: \"e\"\r\n";
            let replies = vec![
                Reply::Answer(503, "", coded("SlowDown")),
                Reply::Cut(200, cut, "0123", 10),
                Reply::Answer(206, "content-range: bytes 4-9/10\r\netag: \"e\"\r\n", "456789"),
            ];
            let (address, requests) = scripted(replies).await;
            let destination = Destination::S3(store_of(config(address), "secret"));
            assert_eq!(content(&destination, "k").await.unwrap(), b"0123456789");
            let requests = requests.lock().unwrap();
            let last = requests.last().unwrap();
            assert!(last.contains("range: bytes=4-") && last.contains("if-match: \"e\""), "{last}");
        }

        #[tokio::test]
        async fn what_no_try_cures_is_told() {
            let (address, requests) = scripted(vec![Reply::Answer(403, "", coded("AccessDenied"))]).await;
            let destination = Destination::S3(store_of(config(address), "secret"));
            let error = destination.list().next_page().await.unwrap_err();
            assert!(error.to_string().contains("s3:ListBucket"), "{error}");
            let error = destination.open("k").await.unwrap_err();
            assert!(error.to_string().contains("s3:GetObject"), "{error}");
            assert_eq!(requests.lock().unwrap().len(), 2);
        }
    }
}
