//! Runs a poller and keeps what it delivers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::SdkConfig;
use aws_types::region::Region;
use reassemble_cloudwatch::{ClientConfig, Ended, LogsClient, Page, Poller, PollerConfig};
use reassemble_testkit::moto::LOGS_REGION;
use tokio_util::sync::CancellationToken;

pub(crate) fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

pub(crate) fn client_with(url: &str, provider: SharedCredentialsProvider) -> LogsClient {
    let sdk = SdkConfig::builder().region(Region::new(LOGS_REGION)).credentials_provider(provider).build();
    let config = ClientConfig { endpoint: Some(url.to_owned()), ..ClientConfig::default() };
    LogsClient::from_sdk(config, &sdk).unwrap()
}

pub(crate) fn client(url: &str) -> LogsClient {
    client_with(url, SharedCredentialsProvider::new(Credentials::new("KEY", "secret", None, None, "test")))
}

/// These groups from an hour ago on, asked as often as a test can bear.
pub(crate) fn config(groups: &[&str]) -> PollerConfig {
    PollerConfig {
        since_ms: Some(now_ms() - 3_600_000),
        poll_interval: Duration::from_millis(20),
        discover_interval: Duration::from_millis(50),
        calls_per_second: 1000.0,
        ..PollerConfig::new(groups.iter().map(|group| (*group).to_owned()).collect())
    }
}

/// The same, to a time that needs no waiting for late events.
pub(crate) fn bounded(groups: &[&str]) -> PollerConfig {
    PollerConfig { until_ms: Some(now_ms() - 600_000), ..config(groups) }
}

/// What a run delivered.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    pub(crate) pages: Vec<Page>,
}

impl Delivered {
    /// Group and line of every event, in the order in which they came.
    pub(crate) fn lines(&self) -> Vec<(String, String)> {
        self.pages.iter().flat_map(lines_of).collect()
    }

    /// The lines, sorted.
    pub(crate) fn sorted(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.lines().into_iter().map(|(_, line)| line).collect();
        lines.sort();
        lines
    }

    /// Each group's last position among these pages.
    pub(crate) fn positions(pages: &[Page]) -> Vec<Vec<u8>> {
        let mut last: Vec<&Page> = Vec::new();
        for page in pages {
            last.retain(|before| before.group != page.group);
            last.push(page);
        }
        last.into_iter().map(|page| page.position.clone()).collect()
    }
}

pub(crate) fn lines_of(page: &Page) -> Vec<(String, String)> {
    String::from_utf8(page.lines.clone()).unwrap().lines().map(|line| (page.group.clone(), line.to_owned())).collect()
}

/// Runs a poller until it ends by itself, or `enough` says so of a page.
pub(crate) fn run(
    client: &LogsClient,
    config: PollerConfig,
    positions: &[Vec<u8>],
    mut enough: impl FnMut(&Delivered) -> bool,
) -> (Delivered, Ended) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut delivered = Delivered::default();
    let mut take = |page: Page| {
        delivered.pages.push(page);
        !enough(&delivered)
    };
    let poller = Poller::new(config, positions).unwrap();
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::time::timeout(Duration::from_secs(120), poller.run(client, &stop, &mut take)).await
    });
    let ended = ended.expect("the poller does not end");
    (delivered, ended)
}
