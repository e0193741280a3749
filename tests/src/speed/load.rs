//! Load: many connections, each asking one request after another, for a while.

use crate::client::Connection;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a load came to.
pub struct Measured {
    pub requests: u64,
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Server CPU microseconds a request.
    pub cpu_us: f64,
}

/// Makes the n-th request of a connection: method, path, body.
pub type Plan = Arc<dyn Fn(u64, u64) -> (&'static str, String, String) + Send + Sync>;

/// Drives `connections` for `span`; `cpu` reads the server's CPU seconds.
#[allow(clippy::disallowed_methods)] // a stopwatch is this file's purpose
pub async fn drive(
    address: SocketAddr,
    connections: u64,
    span: Duration,
    plan: Plan,
    cpu: impl Fn() -> f64,
) -> Measured {
    let (cpu_before, start) = (cpu(), Instant::now());
    let tasks: Vec<_> = (0..connections)
        .map(|c| tokio::spawn(ask(address, c, start + span, plan.clone())))
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let (spent, wall) = (cpu() - cpu_before, start.elapsed().as_secs_f64());
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    let requests = times.len() as f64;
    Measured {
        requests: times.len() as u64,
        per_second: requests / wall,
        p50_ms: at(50),
        p99_ms: at(99),
        cpu_us: spent * 1e6 / requests,
    }
}

#[allow(clippy::disallowed_methods)] // as above
async fn ask(address: SocketAddr, connection: u64, until: Instant, plan: Plan) -> Vec<Duration> {
    let mut client = Connection::open(address).await.unwrap();
    let mut times = Vec::new();
    for n in 0.. {
        let (method, path, body) = plan(connection, n);
        let start = Instant::now();
        if start >= until {
            break;
        }
        let reply = client.send(method, &path, &[], body).await.unwrap();
        assert!(
            reply.status < 300,
            "{method} {path}: {} {}",
            reply.status,
            reply.text()
        );
        times.push(start.elapsed());
    }
    times
}
