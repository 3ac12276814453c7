//! Every fault of the proxy, before a server that says what it hears.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use pool_testkit::{Direction, Fault, FaultProxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::time::{sleep, timeout};

const LIMIT: Duration = Duration::from_secs(60);

/// Long enough that what comes would have come, short enough for a test.
const WHILE: Duration = Duration::from_millis(200);

/// A hang is a failure.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(LIMIT, work).await.expect("hangs")
}

async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = client.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    address
}

async fn proxy() -> FaultProxy {
    FaultProxy::start(echo().await).unwrap()
}

async fn connect(proxy: &FaultProxy) -> TcpStream {
    soon(TcpStream::connect(proxy.address())).await.unwrap()
}

/// Says a word and hears it.
async fn talk(client: &mut TcpStream, word: &str) -> io::Result<()> {
    client.write_all(word.as_bytes()).await?;
    let mut heard = vec![0; word.len()];
    soon(client.read_exact(&mut heard)).await?;
    assert_eq!(heard, word.as_bytes());
    Ok(())
}

/// What comes next: some bytes, none at the end, or the error.
async fn next(client: &mut TcpStream) -> io::Result<usize> {
    soon(client.read(&mut [0; 100])).await
}

async fn silent(client: &mut TcpStream) -> bool {
    timeout(WHILE, client.read(&mut [0; 100])).await.is_err()
}

async fn until(mut is_so: impl FnMut() -> bool) {
    soon(async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn it_passes_and_counts() {
    let proxy = proxy().await;
    let mut one = connect(&proxy).await;
    let mut two = connect(&proxy).await;
    talk(&mut one, "hello").await.unwrap();
    talk(&mut two, &"long".repeat(10_000)).await.unwrap();
    assert_eq!((proxy.accepted(), proxy.open()), (2, 2));
    one.shutdown().await.unwrap();
    assert_eq!(next(&mut one).await.unwrap(), 0, "the end goes there and back");
    until(|| proxy.open() == 1).await;
    assert_eq!(proxy.accepted(), 2);
}

#[tokio::test]
async fn a_unix_socket_may_be_the_target() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let proxy = FaultProxy::start(path.as_path()).unwrap();
    let mut client = connect(&proxy).await;
    let (mut server, _) = soon(listener.accept()).await.unwrap();
    server.write_all(b"hi").await.unwrap();
    assert_eq!(next(&mut client).await.unwrap(), 2);
    proxy.reset();
    assert_eq!(soon(server.read(&mut [0; 9])).await.unwrap(), 0);
}

#[tokio::test]
async fn connections_are_reset_or_closed_and_new_ones_work() {
    let proxy = proxy().await;
    let mut client = connect(&proxy).await;
    talk(&mut client, "hello").await.unwrap();
    proxy.reset();
    assert_eq!(proxy.open(), 0);
    assert_eq!(next(&mut client).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);

    let mut client = connect(&proxy).await;
    talk(&mut client, "hello").await.unwrap();
    proxy.close();
    assert_eq!(proxy.open(), 0);
    assert_eq!(next(&mut client).await.unwrap(), 0);

    talk(&mut connect(&proxy).await, "again").await.unwrap();
}

#[tokio::test]
async fn a_black_hole_is_silent_and_heals() {
    let proxy = proxy().await;
    let mut old = connect(&proxy).await;
    talk(&mut old, "hello").await.unwrap();
    proxy.set(Fault::Blackhole);
    old.write_all(b"anybody?").await.unwrap();
    let mut new = connect(&proxy).await;
    new.write_all(b"me too").await.unwrap();
    assert!(silent(&mut old).await && silent(&mut new).await);
    assert_eq!(proxy.open(), 2);

    proxy.set(Fault::Pass);
    assert_eq!(next(&mut old).await.unwrap(), 8);
    assert_eq!(next(&mut new).await.unwrap(), 6);

    proxy.set(Fault::Blackhole);
    proxy.reset();
    assert_eq!(next(&mut old).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(proxy.open(), 0);
}

#[tokio::test]
async fn a_delay_delays() {
    let proxy = proxy().await;
    let mut client = connect(&proxy).await;
    proxy.set(Fault::Delay(WHILE * 2));
    client.write_all(b"hello").await.unwrap();
    assert!(silent(&mut client).await, "it takes twice that, twice");
    assert_eq!(next(&mut client).await.unwrap(), 5);
}

#[tokio::test]
async fn a_trickle_comes_byte_by_byte() {
    let proxy = proxy().await;
    let mut client = connect(&proxy).await;
    proxy.set(Fault::Trickle(Duration::ZERO));
    talk(&mut client, "all of it, in order").await.unwrap();
    proxy.set(Fault::Trickle(WHILE));
    client.write_all(b"hello").await.unwrap();
    assert_eq!(next(&mut client).await.unwrap(), 1);
    proxy.set(Fault::Pass);
    let mut rest = [0; 4];
    soon(client.read_exact(&mut rest)).await.unwrap();
    assert_eq!(&rest, b"ello");
}

#[tokio::test]
async fn half_a_connection_can_end() {
    let proxy = proxy().await;
    let mut client = connect(&proxy).await;
    talk(&mut client, "hello").await.unwrap();
    proxy.set(Fault::HalfClose(Direction::ToClient));
    assert_eq!(next(&mut client).await.unwrap(), 0);
    // The server hears it, and its answer is dropped.
    client.write_all(b"still here").await.unwrap();
    sleep(WHILE).await;
    assert_eq!(proxy.open(), 1);
    client.shutdown().await.unwrap();
    until(|| proxy.open() == 0).await;

    proxy.set(Fault::Pass);
    let mut client = connect(&proxy).await;
    talk(&mut client, "hello").await.unwrap();
    proxy.set(Fault::HalfClose(Direction::ToServer));
    assert_eq!(next(&mut client).await.unwrap(), 0, "the server ends its side in turn");
}

#[tokio::test]
async fn refused_are_only_new_ones() {
    let proxy = proxy().await;
    let mut old = connect(&proxy).await;
    talk(&mut old, "hello").await.unwrap();
    proxy.set(Fault::Refuse);
    let refused = soon(TcpStream::connect(proxy.address())).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    talk(&mut old, "still here").await.unwrap();
    proxy.set(Fault::Pass);
    talk(&mut connect(&proxy).await, "again").await.unwrap();
    assert_eq!(proxy.accepted(), 2);
}

#[tokio::test]
async fn without_a_server_a_client_is_reset() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = FaultProxy::start(gone).unwrap();
    let lost = match soon(TcpStream::connect(proxy.address())).await {
        Ok(mut client) => next(&mut client).await.unwrap_err(),
        Err(error) => error, // it was faster than the client
    };
    assert_eq!(lost.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn its_clock_is_its_own_and_its_drop_ends_it() {
    // This test's clock jumps ahead whenever nobody here has work; the proxy's does not.
    let proxy = proxy().await;
    let address = proxy.address();
    let mut client = TcpStream::connect(address).await.unwrap();
    proxy.set(Fault::Trickle(Duration::from_millis(1)));
    client.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");

    drop(proxy);
    assert!(!matches!(client.read(&mut [0; 9]).await, Ok(1..)));
    TcpStream::connect(address).await.unwrap_err();
    // The drop joined the thread, so none is left.
}
