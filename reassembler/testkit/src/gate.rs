//! A way to the S3 server that can be shut, and whose connections can die.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What happens to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// They reach the server.
    Open,
    /// They are reset, old ones and new ones.
    Shut,
    /// They are taken, and nothing passes.
    Silent,
}

/// The gate, for as long as this lives.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    way: Arc<watch::Sender<Way>>,
    _runtime: Runtime,
}

impl Gate {
    /// A gate that is open, before a server.
    pub fn before(behind: SocketAddr) -> Gate {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let way = Arc::new(watch::Sender::new(Way::Open));
        let opened = way.clone();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, behind, opened.subscribe()));
            }
        });
        Gate { address, way, _runtime: runtime }
    }

    /// The endpoint that leads through it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What happens to connections from now on, those too that are open.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

/// Passes a connection on for as long as the way is open; then it is reset.
async fn pass(mut client: TcpStream, behind: SocketAddr, mut way: watch::Receiver<Way>) {
    let at_first = *way.borrow_and_update();
    match at_first {
        Way::Open => {
            let Ok(mut server) = TcpStream::connect(behind).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => return,
                _ = way.changed() => (),
            }
        }
        Way::Shut => (),
        Way::Silent => drop(way.changed().await),
    }
    client.set_zero_linger().unwrap();
}
