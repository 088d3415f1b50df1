//! A constant load over kept-alive connections: requests are due at fixed instants, whatever became of those before them.
//!
//! Invariant: a latency counts from the instant at which its request was due, so that a server that stalls is charged for every request that it kept
//! from being sent.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

/// A request is given up after so long, and the run with it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest response head in bytes.
const MAX_HEAD_BYTES: usize = 4096;

/// A load.
#[derive(Clone, Debug)]
pub struct Load {
    /// Requests a second.
    pub rate: u32,
    /// Connections, opened before the first request.
    pub connections: usize,
    /// The whole request.
    pub request: Vec<u8>,
    /// The body that each answer must have.
    pub answer: Vec<u8>,
}

impl Load {
    /// A POST of `body` to `path`, whose answer is to be the same body.
    pub fn echo(path: &str, body: &[u8], rate: u32, connections: usize) -> Load {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: shop.test\r\nuser-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
             accept: application/json, text/plain, */*\r\naccept-language: en-US,en;q=0.5\r\naccept-encoding: gzip, deflate, br, zstd\r\n\
             authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Load { rate, connections, request: [head.as_bytes(), body].concat(), answer: body.to_vec() }
    }

    /// Opens the connections.
    ///
    /// # Errors
    /// Where the server does not take them.
    pub fn connect(self, address: SocketAddr) -> Result<Client> {
        let connections = (0..self.connections).map(|_| Connection::open(address)).collect::<Result<_>>()?;
        Ok(Client { load: self, connections })
    }
}

/// A load's open connections.
#[derive(Debug)]
pub struct Client {
    load: Load,
    connections: Vec<Connection>,
}

impl Client {
    /// Sends requests for as long as told and waits for the last answer; gives the latencies in nanoseconds, in the order of the answers.
    ///
    /// # Errors
    /// Where an answer is missing, is no 200, or has another body than it should.
    pub fn run(&mut self, time: Duration) -> Result<Vec<u64>> {
        // Sleeps otherwise end up to 50 µs late.
        nix::sys::prctl::set_timerslack(1).context("failed to set the timer slack")?;
        let interval = Duration::from_secs(1) / self.load.rate;
        let count = (time.as_secs_f64() * f64::from(self.load.rate)) as u32;
        let mut latencies = Vec::with_capacity(count as usize);
        let mut free: VecDeque<usize> = (0..self.connections.len()).collect();
        let began = Instant::now();
        let mut sent = 0;
        while latencies.len() < count as usize {
            let now = Instant::now();
            while sent < count && began + interval * sent <= now {
                let Some(at) = free.pop_front() else { break };
                self.connections[at].send(&self.load.request, began + interval * sent)?;
                sent += 1;
            }
            let due = (sent < count && !free.is_empty()).then(|| began + interval * sent);
            for at in self.wait(due)? {
                let connection = &mut self.connections[at];
                if let Some(due) = connection.receive(&self.load.answer)? {
                    latencies.push(u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX));
                    free.push_back(at);
                }
            }
        }
        Ok(latencies)
    }

    /// Sends each connection's next request as soon as it is answered, for as long as told; gives how many were answered.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_flat_out(&mut self, time: Duration) -> Result<usize> {
        let began = Instant::now();
        if time.is_zero() {
            return Ok(0);
        }
        for connection in &mut self.connections {
            connection.send(&self.load.request, began)?;
        }
        let (mut answered, mut under_way) = (0, self.connections.len());
        while under_way > 0 {
            for at in self.wait(None)? {
                let connection = &mut self.connections[at];
                if connection.receive(&self.load.answer)?.is_none() {
                    continue;
                }
                answered += 1;
                if began.elapsed() < time {
                    connection.send(&self.load.request, began)?;
                } else {
                    under_way -= 1;
                }
            }
        }
        Ok(answered)
    }

    /// Waits until the next request is due or something comes in; gives the connections that have something.
    fn wait(&self, due: Option<Instant>) -> Result<Vec<usize>> {
        let busy: Vec<usize> = (0..self.connections.len()).filter(|at| self.connections[*at].due.is_some()).collect();
        let stream = |at: &usize| PollFd::new(self.connections[*at].stream.as_fd(), PollFlags::POLLIN);
        let mut watched: Vec<PollFd<'_>> = busy.iter().map(stream).collect();
        let left = due.map_or(PATIENCE, |due| due.saturating_duration_since(Instant::now()));
        let ready = match ppoll(&mut watched, Some(TimeSpec::from_duration(left)), None) {
            Ok(ready) => ready,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(fault) => return Err(fault).context("failed to wait for answers"),
        };
        ensure!(ready > 0 || due.is_some() || busy.is_empty(), "no answer within {PATIENCE:?}");
        Ok(busy.into_iter().zip(&watched).filter(|(_, fd)| fd.any().unwrap_or(true)).map(|(at, _)| at).collect())
    }
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// When the request under way was due; `None` where none is.
    due: Option<Instant>,
    answer: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(address).context("failed to connect")?;
        stream.set_nodelay(true).context("failed to set up a connection")?;
        stream.set_nonblocking(true).context("failed to set up a connection")?;
        Ok(Connection { stream, due: None, answer: Vec::new() })
    }

    /// A socket's buffer takes a request of a few KB whole, for the one before it was answered.
    fn send(&mut self, request: &[u8], due: Instant) -> Result<()> {
        self.stream.write_all(request).context("failed to send a request")?;
        self.due = Some(due);
        Ok(())
    }

    /// Reads what is there; gives the instant at which the request was due once the answer is whole.
    fn receive(&mut self, expected: &[u8]) -> Result<Option<Instant>> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => bail!("the server hung up"),
            Ok(count) => self.answer.extend_from_slice(&buffer[..count]),
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(fault) => return Err(fault).context("failed to read an answer"),
        }
        let Some(body_at) = self.answer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
            ensure!(self.answer.len() <= MAX_HEAD_BYTES, "the answer's head does not end");
            return Ok(None);
        };
        ensure!(
            self.answer.starts_with(b"HTTP/1.1 200 "),
            "answered {:?}",
            self.answer[..body_at].escape_ascii().to_string()
        );
        if self.answer.len() < body_at + expected.len() {
            return Ok(None);
        }
        ensure!(&self.answer[body_at..] == expected, "another body came back");
        self.answer.clear();
        Ok(self.due.take())
    }
}

/// The value below which `share` (0 to 1) of the sorted values lie; 0 of none.
pub fn percentile(sorted: &[u64], share: f64) -> u64 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers each connection's requests as they come, the first after a stall.
    fn serve(listener: &TcpListener, request_bytes: usize, answer: &[u8], stall: Duration) {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; request_bytes];
        let mut first = true;
        while stream.read_exact(&mut request).is_ok() {
            if std::mem::take(&mut first) {
                std::thread::sleep(stall);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            stream.write_all(answer).unwrap();
        }
    }

    #[test]
    fn a_stall_is_charged_to_every_request_that_it_kept_waiting() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let load = Load::echo("/echo", b"body", 100, 1);
        let request_bytes = load.request.len();
        let server = std::thread::spawn(move || serve(&listener, request_bytes, b"body", Duration::from_millis(200)));
        let mut client = load.connect(address).unwrap();
        let latencies = client.run(Duration::from_millis(400)).unwrap();
        drop(client);
        server.join().unwrap();
        assert_eq!(latencies.len(), 40);
        // Those that were due 100 ms into the stall waited for 100 ms at least.
        let waited = latencies.iter().filter(|ns| **ns >= 100_000_000).count();
        assert!(waited >= 10, "{waited} were charged");
    }

    #[test]
    fn another_body_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let load = Load::echo("/echo", b"body", 100, 1);
        let request_bytes = load.request.len();
        let server = std::thread::spawn(move || serve(&listener, request_bytes, b"bodx", Duration::ZERO));
        let mut client = load.connect(address).unwrap();
        assert!(client.run(Duration::from_millis(50)).is_err());
        drop(client);
        server.join().unwrap();
    }

    #[test]
    fn percentiles_are_of_sorted_values() {
        let values: Vec<u64> = (0..100).collect();
        assert_eq!((percentile(&values, 0.5), percentile(&values, 0.99), percentile(&[], 0.5)), (50, 99, 0));
    }
}
