//! A load generator: many requests at once, bodies from nothing to megabytes, and a memory of what was sent and what came back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reassemble_testkit::captures;
use sha2::{Digest, Sha256};

/// A body as it passed: its length and its SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) len: u64,
    pub(crate) sha256: [u8; 32],
}

impl Passed {
    pub(crate) fn of(bytes: &[u8]) -> Passed {
        Passed { len: bytes.len() as u64, sha256: Sha256::digest(bytes).into() }
    }
}

/// What one request was and what it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exchanged {
    pub(crate) request: Passed,
    pub(crate) response: Passed,
    pub(crate) status: u16,
}

/// What a load did: its exchanges by their `x-test-id`, and how many of them made the shop call out.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) exchanges: HashMap<String, Exchanged>,
    pub(crate) outbound: usize,
}

/// Requests under way at once.
const PARALLEL: usize = 24;

/// Makes `count` requests of a shop, mixed by a fixed seed.
pub(crate) fn run(url: &str, count: usize) -> Load {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let next = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let workers: Vec<_> = (0..PARALLEL)
            .map(|_| {
                let (client, next, url) = (client.clone(), next.clone(), url.to_owned());
                tokio::spawn(async move {
                    let mut load = Load::default();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return load;
                        }
                        request(&client, &url, number, &mut load).await;
                    }
                })
            })
            .collect();
        let mut all = Load::default();
        for worker in workers {
            let load = worker.await.unwrap();
            all.exchanges.extend(load.exchanges);
            all.outbound += load.outbound;
        }
        all
    })
}

async fn request(client: &reqwest::Client, url: &str, number: usize, load: &mut Load) {
    let id = format!("t{number}");
    let size = size_of(number);
    let (builder, body) = match number % 10 {
        0 => (client.get(format!("{url}/items")), Vec::new()),
        1 => (client.get(format!("{url}/blob?size={size}&seed={number}")), Vec::new()),
        2 => (client.get(format!("{url}/stream?pieces=20&size=200&delay_ms=0")), Vec::new()),
        3 => (client.delete(format!("{url}/items/{number}")), Vec::new()),
        4 => (client.get(format!("{url}/error")), Vec::new()),
        5 => {
            load.outbound += 1;
            let order = format!(r#"{{"item":"tea","qty":{}}}"#, number % 7 + 1);
            (client.post(format!("{url}/orders")).header("content-type", "application/json"), order.into_bytes())
        }
        6 => (client.post(format!("{url}/upload")), text(number, size)),
        _ => (
            client.post(format!("{url}/echo")),
            if number.is_multiple_of(2) { bytes(number, size) } else { text(number, size) },
        ),
    };
    let sent = Passed::of(&body);
    let response = builder.header("x-test-id", &id).body(body).send().await.unwrap();
    let status = response.status().as_u16();
    let got = Passed::of(&response.bytes().await.unwrap());
    load.exchanges.insert(id, Exchanged { request: sent, response: got, status });
}

/// Mostly small bodies, some of tens of kilobytes, a few of megabytes up to five.
fn size_of(number: usize) -> usize {
    let drawn = scrambled(number);
    match drawn % 200 {
        0 => 1_000_000 + drawn % 4_000_000,
        1..=3 => 5_000_000 >> (drawn % 7),
        4..=20 => drawn % 100_000,
        21..=40 => 0,
        _ => drawn % 6_000,
    }
}

fn scrambled(number: usize) -> usize {
    let mixed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from((mixed ^ (mixed >> 29)) >> 16).unwrap()
}

fn bytes(seed: usize, size: usize) -> Vec<u8> {
    (0..size).map(|at| (scrambled(seed + at) >> 5) as u8).collect()
}

fn text(seed: usize, size: usize) -> Vec<u8> {
    let mut drawn = (seed..).map(scrambled);
    captures::text(size, |_| drawn.next().unwrap()).into_bytes()
}
