//! [`Transport`]: the bytes below the protocol, by TCP, TLS or unix socket.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::options::{PgOptions, SslNegotiation};

/// A code in place of a protocol version: "may we speak TLS?"
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

type Encrypted = <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::Stream;

/// A stream to a server.
pub(crate) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<Encrypted>),
}

/// The answer to the question for TLS.
pub(crate) enum Secured {
    Tls(Transport),
    /// The server has none. Nothing else was said, so the stream serves as it is.
    Refused(TcpStream),
}

impl Transport {
    pub(crate) async fn unix(path: &Path) -> io::Result<Self> {
        UnixStream::connect(path).await.map(Self::Unix)
    }

    /// Connects, with the options' keepalive.
    pub(crate) async fn tcp(to: SocketAddr, options: &PgOptions) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        if options.keepalives {
            let mut keepalive = TcpKeepalive::new();
            if let Some(idle) = options.keepalives_idle {
                keepalive = keepalive.with_time(idle);
            }
            if let Some(interval) = options.keepalives_interval {
                keepalive = keepalive.with_interval(interval);
            }
            if let Some(count) = options.keepalives_count {
                keepalive = keepalive.with_retries(count);
            }
            socket.set_tcp_keepalive(&keepalive)?;
        }
        #[cfg(target_os = "linux")]
        if let Some(timeout) = options.tcp_user_timeout {
            socket.set_tcp_user_timeout(Some(timeout))?;
        }
        Ok(stream)
    }

    /// Asks for TLS and shakes hands.
    pub(crate) async fn secure(
        mut stream: TcpStream,
        name: &str,
        options: &PgOptions,
        tls: &MakeRustlsConnect,
    ) -> io::Result<Secured> {
        if options.sslnegotiation == SslNegotiation::Postgres {
            stream.write_all(&TLS_REQUEST).await?;
            match stream.read_u8().await? {
                b'S' => {}
                b'N' => return Ok(Secured::Refused(stream)),
                _ => {
                    // A server that is full or starting may say so before any TLS.
                    let text = "the server answered the question for TLS by something else";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
            }
        }
        let connector = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut tls.clone(), name);
        let connector = connector.map_err(io::Error::other)?;
        let encrypted = connector.connect(stream).await?;
        Ok(Secured::Tls(Self::Tls(Box::new(encrypted))))
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Reads until the other side has ended it.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        let mut space = [0; 64];
        while self.read(&mut space).await? > 0 {}
        Ok(())
    }

    fn inner(&mut self) -> Pin<&mut dyn Both> {
        match self {
            Self::Tcp(stream) => Pin::new(stream),
            Self::Unix(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(&mut **stream),
        }
    }
}

trait Both: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Both for S {}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner().poll_read(cx, buf)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(cx)
    }
}

impl TlsStream for Transport {
    fn channel_binding(&self) -> ChannelBinding {
        match self {
            Self::Tls(stream) => stream.channel_binding(),
            Self::Tcp(_) | Self::Unix(_) => ChannelBinding::none(),
        }
    }
}

/// A stream for one request, which the other side ends. The driver would end our side as soon as it
/// has sent a cancel request; a PgBouncer (seen with 1.18) that passes one on does not survive that:
/// its process ends, and with it everybody's connections.
pub(crate) struct OneRequest<'t>(pub(crate) &'t mut Transport);

impl AsyncRead for OneRequest<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.inner().poll_read(cx, buf)
    }
}

impl AsyncWrite for OneRequest<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.inner().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.inner().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl TlsStream for OneRequest<'_> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}

/// For the driver: TLS is spoken already, or not at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done;

impl<S: TlsStream + Unpin> TlsConnect<S> for Done {
    type Stream = S;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<S>>;

    fn connect(self, stream: S) -> Self::Future {
        std::future::ready(Ok(stream))
    }
}
