//! A small axum shop that prints what it serves as capture lines, among the ordinary lines of its log.
//!
//! It is a sample to read, and what the end-to-end tests run: see its README for the routes.

mod blob;
mod journal;
mod routes;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use axum::{extract::Request, middleware::Next};
use clap::Parser;
use reassemble_emitter::{CaptureLayer, CaptureMiddleware, Emitter, Output};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    journal::{Journal, Style},
    routes::Shop,
};

/// How long open requests, and then the log, are waited for at the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// A small shop that prints what it serves as capture lines. CAPTURE_* variables set what is captured.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, env = "SHOP_LISTEN", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The log file, opened again on SIGHUP; standard output without it
    #[arg(long, env = "SHOP_LOG")]
    log: Option<PathBuf>,
    /// Where prices are asked for; the shop itself without it
    #[arg(long, env = "SHOP_SUPPLIER")]
    supplier: Option<String>,
    /// How ordinary log lines show what clients sent
    #[arg(long, env = "SHOP_LOG_STYLE", value_enum, default_value_t)]
    log_style: Style,
    /// No ordinary log lines
    #[arg(long, env = "SHOP_QUIET")]
    quiet: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let listener = TcpListener::bind(options.listen).await.with_context(|| format!("listen on {}", options.listen))?;
    let url = format!("http://{}", listener.local_addr()?);
    let journal = Journal::open(options.log.as_deref(), options.log_style).context("open the log")?;
    let output = options.log.map_or(Output::Stdout, Output::Path);
    // Whole bodies of the end-to-end tests' sizes, many at once; an ordinary service leaves both as they are.
    let emitter = Emitter::builder()
        .service("shop")
        .output(output)
        .body_limit(64 << 20)
        .queue_limit(512 << 20)
        .skip_path("/health")
        .env()?
        .build()?;

    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(CaptureMiddleware::new(emitter.clone()))
        .build();
    let (logged, quiet) = (journal.clone(), options.quiet);
    let notes = (!quiet).then(|| journal.clone());
    let shop = Shop { client, supplier: options.supplier.unwrap_or_else(|| url.clone()), notes };
    let app = routes::router(shop)
        .layer(CaptureLayer::new(emitter.clone()).scheme("http"))
        .layer(axum::middleware::from_fn(move |request: Request, next: Next| {
            let journal = logged.clone();
            async move {
                let line = format!("{} {}", request.method(), request.uri().path());
                let response = next.run(request).await;
                if !quiet {
                    journal.line(&line, &response.status().as_u16().to_string());
                }
                response
            }
        }))
        .into_make_service_with_connect_info::<SocketAddr>();

    tokio::spawn(reopen_on_hangup(emitter.clone(), journal)?);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(async move {
        // A sender that is gone stops the shop too.
        stopped.await.ok();
    });
    let serving = tokio::spawn(serving.into_future());
    eprintln!("listening on {url}");

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    drop(stop);
    if tokio::time::timeout(PATIENCE, serving).await.is_err() {
        eprintln!("requests were still open after {PATIENCE:?}");
    }
    let written = tokio::task::block_in_place(|| emitter.shutdown(PATIENCE));
    let counts = emitter.counts();
    eprintln!(
        "captures: begun={} finished={} dropped={} sampled_out={} lost_lines={}{}",
        counts.begun,
        counts.finished,
        counts.dropped,
        counts.sampled_out,
        counts.lost_lines,
        if written { "" } else { ", and the output is blocked" }
    );
    Ok(())
}

/// Follows a rotation of the log: both who write to it open it again.
fn reopen_on_hangup(emitter: Emitter, journal: Journal) -> anyhow::Result<impl Future<Output = ()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        while hangup.recv().await.is_some() {
            emitter.reopen();
            journal.reopen();
        }
    })
}
