//! A hyper server that answers every request with the same bytes: the peer that reads are held to.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// A bare server in a process of its own, so that its CPU time is its own.
pub struct Bare {
    child: Child,
    pub http: SocketAddr,
}

impl Bare {
    /// Starts this very program again with `--bare SIZE`.
    pub fn start(body_length: usize) -> Bare {
        use std::io::BufRead;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--bare", &body_length.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Bare {
            child,
            http: line.trim().parse().unwrap(),
        }
    }

    pub fn cpu_seconds(&self) -> f64 {
        crate::site::cpu_seconds(self.child.id())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The child's side: serves until killed.
#[allow(clippy::print_stdout)] // the parent reads the address there
pub async fn serve(body_length: usize) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let body = Bytes::from(vec![b'x'; body_length]);
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let body = body.clone();
        tokio::spawn(async move {
            let service = service_fn(move |_: Request<Incoming>| {
                let response = Response::builder()
                    .header("content-type", "application/fhir+json")
                    .body(Full::new(body.clone()));
                async move { Ok::<_, Infallible>(response.unwrap()) }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            connection
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}
