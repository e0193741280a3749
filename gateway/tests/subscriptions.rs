//! Subscriptions against a real gateway and a real endpoint: what is told, what is retried, when it
//! is turned off.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // panics are a test's answers
#![allow(clippy::disallowed_methods)] // a test measures real time

use bytes::Bytes;
use examples::wayside::Wayside;
use examples::web::Web;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Method, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const WAIT_MAX: Duration = Duration::from_secs(60);

/// What an endpoint was sent: method, path, the header `x-key`, body.
type Told = (String, String, String, String);

/// An endpoint that answers with a status that the test may change.
#[derive(Clone)]
struct Endpoint {
    port: u16,
    status: Arc<AtomicU16>,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Endpoint {
    async fn start() -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint {
            port: listener.local_addr().unwrap().port(),
            status: Arc::new(AtomicU16::new(200)),
            told: Arc::default(),
        };
        let shared = endpoint.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let shared = shared.clone();
                    async move { Ok::<_, Infallible>(shared.answer(request).await) }
                });
                let builder = hyper::server::conn::http1::Builder::new();
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
            }
        });
        endpoint
    }

    async fn answer(&self, request: http::Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let key = head
            .headers
            .get("x-key")
            .map(|v| v.to_str().unwrap().to_owned());
        self.told.lock().unwrap().push((
            head.method.to_string(),
            head.uri.path().to_owned(),
            key.unwrap_or_default(),
            String::from_utf8(body.to_vec()).unwrap(),
        ));
        let status = self.status.load(Ordering::Relaxed);
        Response::builder()
            .status(status)
            .body(Full::default())
            .unwrap()
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    async fn told_at_least(&self, count: usize) -> Vec<Told> {
        let since = Instant::now();
        while self.told().len() < count {
            assert!(since.elapsed() < WAIT_MAX, "told {:?}", self.told());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.told()
    }
}

struct Site {
    web: Web,
    wayside: Option<Wayside>,
    folder: tempfile::TempDir,
}

impl Site {
    fn start() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let config = "[subscriptions]\nhosts = [\"127.0.0.1\"]\ntries_max = 5\nretry_cap_ms = 50\n";
        std::fs::write(folder.path().join("wayside.toml"), config).unwrap();
        let mut site = Site {
            web: Web::new("", None),
            wayside: None,
            folder,
        };
        site.run();
        site
    }

    /// Starts the gateway over the folder, after ending a running one by force.
    fn run(&mut self) {
        if let Some(running) = self.wayside.take() {
            running.kill();
        }
        let binary = Path::new(env!("CARGO_BIN_EXE_wayside"));
        let config = self.folder.path().join("wayside.toml");
        let more = ["--config", config.to_str().unwrap()];
        let data = self.folder.path().join("data");
        let wayside = Wayside::start(binary, &data, &more, Stdio::null()).unwrap();
        self.web = Web::new(&wayside.base, None);
        self.wayside = Some(wayside);
    }

    async fn put(&self, path: &str, resource: Value) {
        let put = self
            .web
            .send(Method::PUT, path, &[], Some(&resource))
            .await
            .unwrap();
        assert!(matches!(put.status, 200 | 201), "{}", put.json);
    }

    async fn observe(&self, id: &str, code: &str) {
        let coding = json!([{"system": "urn:codes", "code": code}]);
        let resource = json!({"resourceType": "Observation", "id": id, "status": "final", "code": {"coding": coding}});
        self.put(&format!("Observation/{id}"), resource).await;
    }

    async fn subscribe(&self, channel: Value) {
        let resource = json!({"resourceType": "Subscription", "id": "s", "status": "requested",
            "reason": "test", "criteria": "Observation?code=urn:codes%7Ca", "channel": channel});
        self.put("Subscription/s", resource).await;
    }

    /// Waits until the Subscription has that status; gives its error.
    async fn becomes(&self, status: &str) -> String {
        let since = Instant::now();
        loop {
            let now = self.web.get("Subscription/s").await.unwrap().json;
            if now["status"] == status {
                return now["error"].as_str().unwrap_or_default().to_owned();
            }
            assert!(since.elapsed() < WAIT_MAX, "{now}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_match_is_told_once_and_what_does_not_match_is_not() {
    let (site, endpoint) = (Site::start(), Endpoint::start().await);
    site.observe("before", "a").await;
    site.subscribe(
        json!({"type": "rest-hook", "endpoint": endpoint.url(), "header": ["X-Key: k: 1"]}),
    )
    .await;
    site.becomes("active").await;
    site.observe("other", "b").await;
    site.observe("o", "a").await;
    site.observe("o2", "a").await;
    endpoint.told_at_least(2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let told = (
        "POST".to_owned(),
        "/hook".to_owned(),
        "k: 1".to_owned(),
        String::new(),
    );
    assert_eq!(endpoint.told(), [told.clone(), told]);
}

#[tokio::test]
async fn the_resource_is_sent_along_when_asked_for() {
    let (site, endpoint) = (Site::start(), Endpoint::start().await);
    let channel =
        |mime: &str| json!({"type": "rest-hook", "endpoint": endpoint.url(), "payload": mime});
    site.subscribe(channel("application/fhir+json")).await;
    site.becomes("active").await;
    site.observe("o", "a").await;
    let told = endpoint.told_at_least(1).await;
    assert_eq!(
        (told[0].0.as_str(), told[0].1.as_str()),
        ("PUT", "/hook/Observation/o")
    );
    let sent: Value = serde_json::from_str(&told[0].3).unwrap();
    assert_eq!(sent["meta"]["versionId"], "1");
    site.subscribe(channel("application/fhir+xml")).await;
    site.becomes("active").await;
    site.observe("x", "a").await;
    let told = endpoint.told_at_least(2).await;
    assert!(
        told[1].3.starts_with("<Observation xmlns="),
        "{}",
        told[1].3
    );
}

#[tokio::test]
async fn what_cannot_be_served_says_why() {
    let site = Site::start();
    for (channel, expected) in [
        (
            json!({"type": "email", "endpoint": "mailto:a@b.example"}),
            "channel.type",
        ),
        (
            json!({"type": "rest-hook", "endpoint": "http://169.254.169.254/latest"}),
            "subscriptions.hosts",
        ),
        (
            json!({"type": "rest-hook", "endpoint": "http://localhost/x"}),
            "subscriptions.hosts",
        ),
        (
            json!({"type": "rest-hook", "endpoint": "file:///etc/passwd"}),
            "channel.endpoint",
        ),
        (
            json!({"type": "rest-hook", "endpoint": "http://127.0.0.1/x", "header": ["Host: a"]}),
            "channel.header",
        ),
        (
            json!({"type": "rest-hook", "endpoint": "http://127.0.0.1/x", "payload": "text/plain"}),
            "channel.payload",
        ),
    ] {
        site.subscribe(channel).await;
        let error = site.becomes("error").await;
        assert!(error.contains(expected), "{error}");
    }
    let resource = json!({"resourceType": "Subscription", "id": "s", "status": "requested",
        "reason": "test", "criteria": "Observation?colour=red", "channel": {"type": "websocket"}});
    site.put("Subscription/s", resource).await;
    let error = site.becomes("error").await;
    assert!(error.starts_with("criteria: "), "{error}");
}

/// Criteria on other resources: a chain, `_has`, words and a filter are judged by these as they are.
#[tokio::test]
async fn criteria_on_other_resources_are_judged() {
    let (site, endpoint) = (Site::start(), Endpoint::start().await);
    for (id, family) in [("a", "Abe"), ("b", "Baraka")] {
        let patient = json!({"resourceType": "Patient", "id": id, "name": [{"family": family}]});
        site.put(&format!("Patient/{id}"), patient).await;
    }
    let observation = |id: &str, patient: &str| {
        let subject = json!({"reference": format!("Patient/{patient}")});
        json!({"resourceType": "Observation", "id": id, "status": "final", "subject": subject,
            "code": {"coding": [{"system": "urn:codes", "code": "x"}]}})
    };
    for (number, (criteria, expected)) in [
        ("Observation?subject:Patient.family=abe", "a"),
        ("Observation?patient._has:Observation:patient:_id=mark", "b"),
        (
            "Observation?_filter=patient.family%20eq%20baraka%20and%20status%20eq%20final",
            "b",
        ),
        ("Observation?_content=x&patient.name:exact=Abe", "a"),
    ]
    .into_iter()
    .enumerate()
    {
        site.put("Observation/mark", observation("mark", "b")).await;
        let channel = json!({"type": "rest-hook", "endpoint": endpoint.url(), "payload": "application/fhir+json"});
        let resource = json!({"resourceType": "Subscription", "id": "s", "status": "requested",
            "reason": "test", "criteria": criteria, "channel": channel});
        site.put("Subscription/s", resource).await;
        site.becomes("active").await;
        for patient in ["a", "b"] {
            let id = format!("{patient}{number}");
            site.put(&format!("Observation/{id}"), observation(&id, patient))
                .await;
        }
        // The other one, where it matches, comes before what is written last.
        let last = format!("{expected}{number}-last");
        site.put(&format!("Observation/{last}"), observation(&last, expected))
            .await;
        let told = endpoint.told_at_least(2 * (number + 1)).await;
        let paths: Vec<&str> = told
            .iter()
            .skip(2 * number)
            .map(|told| told.1.as_str())
            .collect();
        let path = |id: &str| format!("/hook/Observation/{id}");
        assert_eq!(
            paths,
            [path(&format!("{expected}{number}")), path(&last)],
            "{criteria}"
        );
        site.web
            .send(Method::DELETE, "Subscription/s", &[], None)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn what_could_not_be_told_is_told_later_also_after_a_crash() {
    let (mut site, endpoint) = (Site::start(), Endpoint::start().await);
    let channel = json!({"type": "rest-hook", "endpoint": endpoint.url(), "payload": "application/fhir+json"});
    site.subscribe(channel).await;
    site.becomes("active").await;
    endpoint.status.store(503, Ordering::Relaxed);
    site.observe("o", "a").await;
    let error = site.becomes("error").await;
    assert!(error.contains("503"), "{error}");
    site.run();
    endpoint.status.store(204, Ordering::Relaxed);
    site.becomes("active").await;
    let told = endpoint.told();
    assert!(told.len() >= 4, "{told:?}");
    assert!(told.iter().all(|told| told.1 == "/hook/Observation/o"));
}

#[tokio::test]
async fn an_endpoint_that_never_answers_well_is_left_alone() {
    let (site, endpoint) = (Site::start(), Endpoint::start().await);
    endpoint.status.store(500, Ordering::Relaxed);
    site.subscribe(json!({"type": "rest-hook", "endpoint": endpoint.url()}))
        .await;
    site.becomes("active").await;
    site.observe("o", "a").await;
    let error = site.becomes("off").await;
    assert!(error.contains("turned off after 5 failures"), "{error}");
    assert_eq!(endpoint.told().len(), 5);
    endpoint.status.store(200, Ordering::Relaxed);
    site.observe("o2", "a").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(endpoint.told().len(), 5);
    site.subscribe(json!({"type": "rest-hook", "endpoint": endpoint.url()}))
        .await;
    assert_eq!(site.becomes("active").await, "");
    site.observe("o3", "a").await;
    endpoint.told_at_least(6).await;
}

#[tokio::test]
async fn a_subscription_ends_when_it_says() {
    let (site, endpoint) = (Site::start(), Endpoint::start().await);
    let resource = json!({"resourceType": "Subscription", "id": "s", "status": "requested", "end": "2020-01-01T00:00:00Z",
        "reason": "test", "criteria": "Observation", "channel": {"type": "rest-hook", "endpoint": endpoint.url()}});
    site.put("Subscription/s", resource).await;
    assert_eq!(site.becomes("off").await, "its end has come");
}

/// A client's end of a web socket.
struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// The status of the refusal, when there is one.
    async fn open(url: &str, origin: Option<&str>) -> Result<Socket, u16> {
        use tokio_tungstenite::tungstenite::Error;
        let mut request = url.into_client_request().unwrap();
        if let Some(origin) = origin {
            request
                .headers_mut()
                .insert("origin", origin.parse().unwrap());
        }
        let authority = request.uri().authority().unwrap().to_string();
        let stream = TcpStream::connect(authority).await.unwrap();
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(Error::Http(refusal)) => Err(refusal.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    async fn say(&mut self, text: &str) -> String {
        self.0.send(text.into()).await.unwrap();
        self.hear().await
    }

    async fn hear(&mut self) -> String {
        let heard = tokio::time::timeout(WAIT_MAX, self.0.next()).await;
        let text = heard.unwrap().unwrap().unwrap().into_text().unwrap();
        text.as_str().to_owned()
    }
}

#[tokio::test]
async fn a_web_socket_is_pinged_for_what_it_is_bound_to() {
    let site = Site::start();
    site.subscribe(json!({"type": "websocket"})).await;
    site.becomes("active").await;
    let statement = site.web.get("metadata").await.unwrap().json;
    let extension = &statement["rest"][0]["extension"][0];
    assert!(
        extension["url"]
            .as_str()
            .unwrap()
            .ends_with("capabilitystatement-websocket")
    );
    let url = extension["valueUri"].as_str().unwrap();
    let mut socket = Socket::open(url, None).await.ok().unwrap();
    let mut unbound = Socket::open(url, None).await.ok().unwrap();
    assert_eq!(socket.say("bind s").await, "bound s");
    assert!(socket.say("bind other").await.starts_with("error other: "));
    assert!(socket.say("hello").await.starts_with("error: "));
    site.observe("o", "b").await;
    site.observe("o2", "a").await;
    site.observe("o3", "a").await;
    assert_eq!(socket.hear().await, "ping s");
    assert_eq!(socket.hear().await, "ping s");
    assert!(
        unbound.say("bind").await.starts_with("error: "),
        "it heard no ping"
    );
    let status = site.web.get("Subscription/s/$status").await.unwrap().json;
    let list = status["entry"][0]["resource"]["parameter"]
        .as_array()
        .unwrap();
    let events = list
        .iter()
        .find(|p| p["name"] == "events-since-subscription-start");
    assert_eq!(events.unwrap()["valueString"], "2");
    assert_eq!(
        Socket::open(url, Some("http://evil.example")).await.err(),
        Some(403)
    );
    assert_eq!(site.web.get("websocket").await.unwrap().status, 400);
    let long = "bind ".to_owned() + &"x".repeat(5000);
    socket.0.send(long.into()).await.ok();
    let cut = tokio::time::timeout(WAIT_MAX, socket.0.next())
        .await
        .unwrap();
    assert!(
        !matches!(cut, Some(Ok(ref message)) if message.is_text()),
        "{cut:?}"
    );
}

#[tokio::test]
async fn the_status_counts_what_waits() {
    let (site, endpoint) = (Site::start(), Endpoint::start().await);
    endpoint.status.store(500, Ordering::Relaxed);
    site.subscribe(json!({"type": "rest-hook", "endpoint": endpoint.url()}))
        .await;
    site.becomes("active").await;
    site.observe("o", "a").await;
    site.becomes("error").await;
    let status = site.web.get("Subscription/s/$status").await.unwrap();
    let list = status.json["entry"][0]["resource"]["parameter"].clone();
    let value = |name: &str| {
        let found = list.as_array().unwrap().iter().find(|p| p["name"] == name);
        found.map(|p| {
            p["valueString"]
                .as_str()
                .or(p["valueCode"].as_str())
                .unwrap_or_default()
                .to_owned()
        })
    };
    assert_eq!(value("events-since-subscription-start").unwrap(), "1");
    assert!(["error", "off"].contains(&value("status").unwrap().as_str()));
}
