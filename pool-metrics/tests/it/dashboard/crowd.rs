//! A crowd at a real server, with sockets: the pools under watch do not feel it.

use std::time::Duration;

use pool_core::ManagedPool;
use pool_metrics::Monitor;
use pool_metrics::dashboard::Dashboard;
use pool_testkit::FakeServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const CROWD: usize = 200;
/// For what should come soon, on a machine that has other things to do.
const SOON: Duration = Duration::from_secs(60);

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Memory of this process, in MiB.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    kib.unwrap_or(0) / 1024
}

async fn ask(address: std::net::SocketAddr) -> (TcpStream, u16) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = b"GET /api/live/events HTTP/1.1\r\nhost: localhost\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let mut head = [0; 12];
    socket.read_exact(&mut head).await.unwrap();
    let status = std::str::from_utf8(&head).unwrap()["HTTP/1.1 ".len()..].parse().unwrap();
    (socket, status)
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let wait = async {
        while !is() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, wait).await.unwrap_or_else(|_| panic!("{what}"));
}

/// 200 come, 64 get a stream, half of them never read; the pool serves on, and when they have gone
/// nothing of them is left. Told to end while some still look, the server ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_does_not_hurt_the_pool() {
    pool_testkit::hard_deadline();
    let monitor = Monitor::new();
    let server = FakeServer::new();
    let pool = ManagedPool::builder(server.manager()).max_size(4).metrics(monitor.metrics());
    let pool = pool.build().unwrap();
    monitor.watch("plots", [pool.view()]);
    tokio::spawn(monitor.run());
    for _ in 0..300 {
        monitor.sample(); // a history of full length
    }

    let dashboard = Dashboard::new(&monitor);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let app = dashboard.live();
    let ends = dashboard.clone();
    let served = tokio::spawn(async move {
        let stop = async move {
            let _ = stopped.await;
            ends.shutdown();
        };
        axum::serve(listener, app).with_graceful_shutdown(stop).await.unwrap();
    });
    drop(pool.acquire().await.unwrap());
    // The pool's, the monitor's, the server's, and the server's own for its end.
    let tasks_before = 4;
    until("all have begun", || tasks() == tasks_before).await;
    let memory_before = memory();

    let mut crowd = JoinSet::new();
    (0..CROWD).for_each(|_| drop(crowd.spawn(ask(address))));
    let all = timeout(SOON, crowd.join_all()).await.expect("everybody is answered");
    let (looking, refused): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, code)| *code == 200);
    assert_eq!((looking.len(), refused.len()), (64, CROWD - 64));
    assert!(refused.iter().all(|(_, code)| *code == 503));
    drop(refused);
    assert_eq!(dashboard.streams(), 64);
    // One for each stream, and the one that reads the monitor.
    until("tasks are bounded", || tasks() <= tasks_before + 64 + 1).await;

    let mut readers = JoinSet::new();
    let (read, unread): (Vec<_>, Vec<_>) =
        looking.into_iter().enumerate().partition(|(i, _)| i % 2 == 0);
    for (_, (mut socket, _)) in read {
        readers.spawn(async move {
            let (mut buffer, mut documents) = (vec![0; 64 << 10], 0);
            while documents < 4 {
                let n = socket.read(&mut buffer).await.unwrap();
                assert!(n > 0, "the stream goes on");
                documents += buffer[..n].windows(11).filter(|seen| seen == b"event: live").count();
            }
        });
    }
    let mut acquires = 0;
    while !readers.is_empty() {
        let one = timeout(SOON, pool.acquire()).await.expect("no waiting").unwrap();
        drop(one);
        acquires += 1;
        if acquires % 100 == 0 {
            while readers.try_join_next().map(Result::unwrap).is_some() {}
            tokio::task::yield_now().await;
        }
    }
    assert!(acquires >= 1_000, "{acquires} acquires while 64 looked");
    assert_eq!(pool.snapshot().counts.timed_out, 0);
    let grown = memory().saturating_sub(memory_before);
    assert!(grown < 64, "{grown} MiB");
    println!("{acquires} acquires meanwhile, {grown} MiB more");

    drop(unread);
    until("their places are free", || dashboard.streams() == 0).await;
    until("their tasks are gone", || tasks() <= tasks_before).await;

    let (mut last, code) = ask(address).await;
    assert_eq!(code, 200);
    stop.send(()).unwrap();
    timeout(SOON, served).await.expect("it ends though somebody looks").unwrap();
    let mut rest = Vec::new();
    timeout(SOON, last.read_to_end(&mut rest)).await.expect("the stream has an end").unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "a whole answer");
}
