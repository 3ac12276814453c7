//! [`PgListener`]: notifications, on a connection of its own that comes back.

use std::fmt;
use std::time::Duration;

use pool_core::{ConnectContext, ErrorClass, Manager};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::Notification;

use crate::common::Profile;
use crate::connection::PgConnection;
use crate::error::{PgError, PgErrorKind};
use crate::manager::PgManager;
use crate::pool::PgPool;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// With nothing to hear for so long, the server is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(30);

/// What a [`PgListener`] hears.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Heard {
    /// A notification.
    Notification(Notification),
    /// The connection was lost and is there again, on the same channels. What was notified in
    /// between is not known: look at the data itself.
    Reconnected,
}

/// Hears what is notified on channels, by a connection of its own beside the pool: it does not count
/// as one of the pool's, and a pooled connection never listens. See [`PgPool::listener`].
///
/// When the connection is lost it is opened again, with growing pauses in between, and listens to the
/// same channels.
///
/// ```no_run
/// # async fn f(pool: pool_postgres::PgPool) -> Result<(), pool_postgres::PgError> {
/// use pool_postgres::Heard;
///
/// let mut listener = pool.listener().await?;
/// listener.listen("news").await?;
/// loop {
///     match listener.recv().await? {
///         Heard::Notification(news) => println!("{}: {}", news.channel(), news.payload()),
///         Heard::Reconnected => println!("perhaps missed some"),
///         _ => {}
///     }
/// }
/// # }
/// ```
pub struct PgListener {
    /// Keeps the options and the credentials; no connection of the pool.
    pool: PgPool,
    channels: Vec<String>,
    connected: Option<Listening>,
    /// Before the next connect.
    pause: Duration,
}

struct Listening {
    connection: PgConnection,
    notifications: UnboundedReceiver<Notification>,
    /// When it was last heard of.
    heard_at: Instant,
}

impl PgPool {
    /// A listener, on a connection of its own.
    ///
    /// # Errors
    /// It cannot be opened within 10 s; or a pooler in transaction mode is in between, which does
    /// not pass notifications on.
    pub async fn listener(&self) -> Result<PgListener, PgError> {
        if self.manager().profile() == Profile::Pooler {
            let text = "a pooler in transaction mode passes no notifications on: make another pool \
                        with the server's own address, for its listener";
            return Err(PgError::text(PgErrorKind::Profile, text));
        }
        let mut listener = PgListener {
            pool: self.clone(),
            channels: Vec::new(),
            connected: None,
            pause: Duration::ZERO,
        };
        listener.connected = Some(listener.connect().await?);
        Ok(listener)
    }
}

impl PgListener {
    /// Listens to a channel, by its exact name.
    ///
    /// # Errors
    /// The server's. If the connection is lost, it is none: the channel is listened to once it is
    /// there again.
    pub async fn listen(&mut self, channel: &str) -> Result<(), PgError> {
        if !self.channels.iter().any(|known| known == channel) {
            self.run(&format!("LISTEN {}", quoted(channel))).await?;
            self.channels.push(channel.to_owned());
        }
        Ok(())
    }

    /// Listens to a channel no more.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    pub async fn unlisten(&mut self, channel: &str) -> Result<(), PgError> {
        self.channels.retain(|known| known != channel);
        self.run(&format!("UNLISTEN {}", quoted(channel))).await
    }

    async fn run(&mut self, sql: &str) -> Result<(), PgError> {
        let Some(Listening { connection, .. }) = &self.connected else { return Ok(()) };
        match connection.batch_execute(sql).await {
            Err(error) if error.kind() == PgErrorKind::Disconnected => Ok(()),
            done => done,
        }
    }

    /// Waits for the next notification, or for the connection to be there again. It tries for as
    /// long as it takes.
    ///
    /// # Errors
    /// What will not get better by itself: the password is wrong, the database is gone, and so on.
    /// It may be called again after that.
    ///
    /// # Cancel safety
    /// Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Result<Heard, PgError> {
        if let Some(Listening { connection, notifications, heard_at }) = &mut self.connected {
            loop {
                match timeout_at(*heard_at + SILENCE, notifications.recv()).await {
                    Ok(Some(heard)) => {
                        *heard_at = Instant::now();
                        return Ok(Heard::Notification(heard));
                    }
                    Ok(None) => break,
                    // Until a time that stands, however often this is dropped and called again.
                    Err(_) => {
                        let patience = *heard_at + SILENCE + CONNECT_TIMEOUT;
                        match timeout_at(patience, connection.ping()).await {
                            Ok(Ok(())) => *heard_at = Instant::now(),
                            Ok(Err(_)) | Err(_) => break,
                        }
                    }
                }
            }
            self.connected = None;
            self.pause = Duration::ZERO;
        }
        loop {
            // Half of it by chance, so that a server's listeners do not come all at once.
            sleep(self.pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            match self.connect().await {
                Ok(listening) => {
                    self.connected = Some(listening);
                    return Ok(Heard::Reconnected);
                }
                Err(error) if error.class() == ErrorClass::Permanent => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Opens a connection that listens to all channels.
    async fn connect(&self) -> Result<Listening, PgError> {
        let manager: &PgManager = self.pool.manager();
        let cx = ConnectContext::new(0, CONNECT_TIMEOUT);
        let (sender, notifications) = unbounded_channel();
        let connect = async {
            let connection = manager.connect_for(&cx, Some(sender)).await?;
            for channel in &self.channels {
                connection.batch_execute(&format!("LISTEN {}", quoted(channel))).await?;
            }
            Ok(connection)
        };
        let connection = timeout(CONNECT_TIMEOUT, connect).await.unwrap_or_else(|_| {
            let text = format!("no connection for a listener within {CONNECT_TIMEOUT:?}");
            Err(PgError::text(PgErrorKind::Unreachable, text))
        })?;
        Ok(Listening { connection, notifications, heard_at: Instant::now() })
    }

    /// Ends it politely.
    pub async fn close(mut self) {
        if let Some(Listening { connection, .. }) = self.connected.take() {
            let _ = timeout(CONNECT_TIMEOUT, self.pool.manager().close(connection)).await;
        }
    }
}

fn quoted(channel: &str) -> String {
    format!("\"{}\"", channel.replace('"', "\"\""))
}

impl fmt::Debug for PgListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgListener")
            .field("channels", &self.channels)
            .field("is_connected", &self.connected.is_some())
            .finish_non_exhaustive()
    }
}
