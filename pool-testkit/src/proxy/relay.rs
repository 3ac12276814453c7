//! One connection through the proxy.

use std::future::Future;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Cut, Direction, Fault};

/// What a connection is told.
pub(super) struct Orders {
    pub(super) fault: watch::Receiver<Fault>,
    /// Some when it is to end.
    pub(super) cut: watch::Receiver<Option<Cut>>,
}

/// The far end.
pub(super) trait Upstream: AsyncRead + AsyncWrite + Unpin {
    /// Lets its drop be a reset.
    fn reset_on_drop(&self);
    /// Lets small pieces go as they are.
    fn small_pieces(&self);
}

impl Upstream for TcpStream {
    fn reset_on_drop(&self) {
        let _ = self.set_zero_linger();
    }

    fn small_pieces(&self) {
        let _ = self.set_nodelay(true);
    }
}

impl Upstream for UnixStream {
    fn reset_on_drop(&self) {}

    fn small_pieces(&self) {}
}

/// Relays until both sides are done, or it is cut.
pub(super) async fn relay<U: Upstream>(
    client: TcpStream,
    connect: impl Future<Output = io::Result<U>>,
    orders: Orders,
) {
    let Orders { mut fault, mut cut } = orders;
    client.small_pieces();
    // A client in a black hole never gets to the server.
    let connected = async {
        passes(&mut fault).await;
        connect.await
    };
    let upstream = tokio::select! {
        biased;
        how = ordered(&mut cut) => return end(how, &[&client]),
        upstream = connected => match upstream {
            Ok(upstream) => upstream,
            // The server refuses; as near as a proxy comes to that.
            Err(_) => return end(Cut::Reset, &[&client]),
        },
    };
    upstream.small_pieces();

    let (mut client_read, mut client_write) = split(client);
    let (mut server_read, mut server_write) = split(upstream);
    let how = {
        let there = pump(&mut client_read, &mut server_write, fault.clone(), Direction::ToServer);
        let back = pump(&mut server_read, &mut client_write, fault, Direction::ToClient);
        let both = async { tokio::try_join!(there, back) };
        tokio::select! {
            biased;
            how = ordered(&mut cut) => how,
            result = both => match result {
                Ok(_) => Cut::Close,
                // One side is lost; let the other one know.
                Err(_) => Cut::Reset,
            },
        }
    };
    let client = client_read.unsplit(client_write);
    let upstream = server_read.unsplit(server_write);
    end(how, &[&client, &upstream]);
}

/// Prepares the drop of these.
fn end(how: Cut, streams: &[&dyn Reset]) {
    if matches!(how, Cut::Reset) {
        for stream in streams {
            stream.reset();
        }
    }
}

/// A stream that can be reset, whichever it is.
trait Reset {
    fn reset(&self);
}

impl<U: Upstream> Reset for U {
    fn reset(&self) {
        self.reset_on_drop();
    }
}

/// Carries one direction until its end, or an error.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut fault: watch::Receiver<Fault>,
    direction: Direction,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let now = passes(&mut fault).await;
        if now == Fault::HalfClose(direction) {
            to.shutdown().await?;
            // Who still talks is not to wait for room.
            while from.read(&mut buffer).await? > 0 {}
            return Ok(());
        }
        let length = tokio::select! {
            biased;
            changed = fault.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return Ok(()), // the proxy ends
            },
            length = from.read(&mut buffer) => length?,
        };
        match now {
            Fault::Delay(time) => sleep(time).await,
            Fault::Trickle(time) => {
                for byte in &buffer[..length] {
                    passes(&mut fault).await;
                    to.write_all(std::slice::from_ref(byte)).await?;
                    sleep(time).await;
                }
                if length > 0 {
                    continue;
                }
            }
            _ => {}
        }
        // It may have begun during a delay.
        passes(&mut fault).await;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
    }
}

/// Waits for the end of a black hole; the fault that is then.
async fn passes(fault: &mut watch::Receiver<Fault>) -> Fault {
    let passes = fault.wait_for(|&fault| fault != Fault::Blackhole).await.map(|fault| *fault);
    match passes {
        Ok(fault) => fault,
        // The proxy ends, and this task with it.
        Err(_) => std::future::pending().await,
    }
}

async fn ordered(cut: &mut watch::Receiver<Option<Cut>>) -> Cut {
    match cut.wait_for(Option::is_some).await {
        Ok(how) => how.unwrap_or(Cut::Close),
        // All connections of its time were cut, or the proxy ends.
        Err(_) => Cut::Close,
    }
}
