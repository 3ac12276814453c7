//! The proxy's main loop: it accepts connections and takes orders.

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{mpsc::UnboundedReceiver, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::relay::{Orders, relay};
use super::{Counts, Cut, Fault, Order, Target};

/// Runs until the other end of the orders is gone.
pub(super) async fn run(
    target: Target,
    counts: Arc<Counts>,
    mut orders: UnboundedReceiver<(Order, mpsc::Sender<()>)>,
    started: mpsc::Sender<io::Result<SocketAddr>>,
) {
    let bound = bind_any().and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = match bound {
        Ok(bound) => bound,
        Err(error) => return drop(started.send(Err(error))),
    };
    let _ = started.send(Ok(address));

    let mut listener = Some(listener);
    let (fault, faults) = watch::channel(Fault::Pass);
    let mut connections = Connections { target, counts, faults, tasks: JoinSet::new(), cut: None };
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => {
                let Some((order, done)) = order else { return };
                match order {
                    Order::Cut(cut) => connections.cut(cut).await,
                    Order::Set(new) => {
                        if new == Fault::Refuse {
                            // Who is in the kernel's queue connected before this.
                            while let Some(client) = queued(listener.as_ref()).await {
                                connections.add(client);
                            }
                            listener = None;
                        } else if listener.is_none() {
                            listener = Some(bind(address).await);
                        }
                        fault.send_replace(new);
                    }
                }
                let _ = done.send(());
            }
            client = accept(listener.as_ref()) => connections.add(client),
            Some(_) = connections.tasks.join_next() => {}
        }
    }
}

/// The connections and what they have in common.
struct Connections {
    target: Target,
    counts: Arc<Counts>,
    faults: watch::Receiver<Fault>,
    tasks: JoinSet<()>,
    cut: Option<watch::Sender<Option<Cut>>>,
}

impl Connections {
    fn add(&mut self, client: TcpStream) {
        self.counts.accepted.fetch_add(1, Ordering::SeqCst);
        self.counts.open.fetch_add(1, Ordering::SeqCst);
        let open = Open(Arc::clone(&self.counts));
        let cut = self.cut.get_or_insert_with(|| watch::Sender::new(None)).subscribe();
        let orders = Orders { fault: self.faults.clone(), cut };
        let target = self.target.clone();
        self.tasks.spawn(async move {
            let _open = open;
            match target {
                Target::Tcp(address) => relay(client, TcpStream::connect(address), orders).await,
                Target::Unix(path) => relay(client, UnixStream::connect(path), orders).await,
            }
        });
    }

    /// Cuts those that are there, and waits until they are gone.
    async fn cut(&mut self, how: Cut) {
        if let Some(cut) = self.cut.take() {
            cut.send_replace(Some(how));
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Counts a connection while it lives.
struct Open(Arc<Counts>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return pending().await };
    loop {
        match listener.accept().await {
            Ok((client, _)) => return client,
            // Out of files, or the client is gone again; not a reason to spin.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

/// A client that has connected already.
async fn queued(listener: Option<&TcpListener>) -> Option<TcpStream> {
    tokio::select! {
        biased;
        client = accept(listener) => Some(client),
        () = std::future::ready(()) => None,
    }
}

/// A port below those that the kernel gives to clients, so that it is still free when a refusal
/// ends, and no client that tries in vain connects to itself.
fn bind_any() -> io::Result<TcpListener> {
    let mut result = Err(io::ErrorKind::AddrInUse.into());
    for _ in 0..1000 {
        let address = (Ipv4Addr::LOCALHOST, fastrand::u16(20_000..32_000)).into();
        result = listen(address);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Listens again where it did.
async fn bind(address: SocketAddr) -> TcpListener {
    for _ in 0..1000 {
        if let Ok(listener) = listen(address) {
            return listener;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{address} is taken by somebody else")
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
