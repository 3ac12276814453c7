//! [`Driver`]: the task that moves a connection's bytes.

use std::future::poll_fn;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Connection};

use crate::error::PgError;
use crate::front::Notified;
use crate::wire::{Wire, WireStatus};

/// Ends with its drop, and the connection with it.
#[derive(Debug)]
pub(crate) struct Driver(JoinHandle<()>);

impl Driver {
    pub(crate) fn spawn(
        mut connection: Connection<Wire, Wire>,
        status: Arc<WireStatus>,
        notified: Notified,
    ) -> Self {
        Self(tokio::spawn(async move {
            loop {
                match poll_fn(|cx| connection.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notification(notification))) => {
                        if let Some(listener) = &notified {
                            let _ = listener.send(notification);
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return status.ended(PgError::from(error)),
                    None => return,
                }
            }
        }))
    }

    /// Returns when the connection has ended: said goodbye, and heard the server's.
    pub(crate) async fn ended(mut self) {
        let _ = (&mut self.0).await;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
