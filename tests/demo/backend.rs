//! The sample backend alone, for replicas in other processes.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use super::ENDPOINTS;
use super::page::json_of;
use super::process::{Demo, LONG, run_to_end};

/// A backend on a free port, and its address without a path.
async fn backend() -> (Demo, String) {
    let demo = Demo::start_with(&["--backend", "127.0.0.1:0"]).await;
    let base = demo.address.strip_suffix("/prices").unwrap().to_owned();
    (demo, base)
}

fn client() -> Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn the_backend_alone_serves_its_four_documents_and_nothing_else() {
    let (_demo, base) = backend().await;
    let client = client();
    for name in ENDPOINTS {
        let answer = client.get(format!("{base}/{name}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{name}");
        assert!(answer.headers().contains_key("etag"), "{name}");
        assert!(json_of(answer).await.is_object(), "{name}");
    }
    for path in ["/", "/v1/endpoints", "/demo/events", "/livez"] {
        let answer = client.get(format!("{base}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn the_data_of_the_backend_alone_change() {
    let (_demo, base) = backend().await;
    let client = client();
    let prices = || async {
        let answer = client.get(format!("{base}/prices")).send().await.unwrap();
        answer.text().await.unwrap()
    };
    let (first, deadline) = (prices().await, Instant::now() + LONG);
    while prices().await == first {
        assert!(Instant::now() < deadline, "still {first}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn ctrl_c_ends_the_backend_alone_with_status_0_and_a_free_port() {
    let (demo, base) = backend().await;
    let host = base.strip_prefix("http://").unwrap();
    let ended = demo.interrupt().await;
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    assert!(TcpStream::connect(host).await.is_err());
}

#[tokio::test]
async fn a_backend_that_cannot_be_is_an_error_that_names_the_option() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let cases: [(&[&str], i32); 3] = [
        (&["--backend", &address], 1),
        (&["--backend", "nowhere"], 2),
        (&["--backend", "127.0.0.1:0", "--port", "0"], 2),
    ];
    for (arguments, status) in cases {
        let ended = run_to_end(arguments).await;
        assert_eq!(ended.status, Some(status), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("--backend"), "{arguments:?}: {}", ended.stderr);
    }
}
