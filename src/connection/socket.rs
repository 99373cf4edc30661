//! The byte stream under a connection: TCP, with TLS or without, or a Unix-domain socket where the platform has them.

use std::convert::Infallible;
use std::future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream as Login};
use tokio_rustls::client::TlsStream;

/// Where a node can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    #[cfg(unix)]
    Unix(std::path::PathBuf),
}

/// How the kernel notices a dead peer: without the monitor nothing else does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Liveness {
    pub(crate) keep_alive: Option<KeepAlive>,
    /// How long the peer's kernel may owe an acknowledgement; None: the kernel's default. It must not be short: Linux
    /// also counts a peer as silent that acknowledges everything and reads nothing, as a server does in a load that
    /// waits for a lock. The monitor notices a silent node within seconds.
    pub(crate) unacknowledged: Option<Duration>,
}

/// When the kernel probes the peer of an idle connection, and how often it repeats the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeepAlive {
    pub(crate) idle: Option<Duration>,
    pub(crate) interval: Option<Duration>,
    /// After so many probes without an answer the peer counts as dead.
    pub(crate) count: Option<u32>,
}

/// An open stream to a node.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Socket {
    pub(crate) async fn connect(address: &Address, liveness: Liveness) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                liveness.apply_to(&stream)?;
                Ok(Self::Tcp(stream))
            }
            #[cfg(unix)]
            Address::Unix(path) => Ok(Self::Unix(UnixStream::connect(path).await?)),
        }
    }
}

impl Liveness {
    /// Sets the socket's options.
    fn apply_to(self, stream: &TcpStream) -> io::Result<()> {
        let socket = SockRef::from(stream);
        if let Some(KeepAlive { idle, interval, count }) = self.keep_alive {
            let mut wanted = TcpKeepalive::new();
            if let Some(idle) = idle {
                wanted = wanted.with_time(idle);
            }
            if let Some(interval) = interval {
                wanted = wanted.with_interval(interval);
            }
            if let Some(count) = count {
                wanted = with_retries(wanted, count);
            }
            socket.set_tcp_keepalive(&wanted)?;
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(unacknowledged) = self.unacknowledged {
            socket.set_tcp_user_timeout(Some(unacknowledged))?;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn with_retries(wanted: TcpKeepalive, count: u32) -> TcpKeepalive {
    wanted.with_retries(count)
}

/// Windows always sends ten probes.
#[cfg(not(unix))]
fn with_retries(wanted: TcpKeepalive, _: u32) -> TcpKeepalive {
    wanted
}

macro_rules! each {
    ($socket:expr, $stream:ident => $body:expr) => {
        match $socket.get_mut() {
            Socket::Tcp($stream) => $body,
            Socket::Tls($stream) => $body,
            #[cfg(unix)]
            Socket::Unix($stream) => $body,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// A stream that its borrower cannot close. A pooler drops a cancel request whose sender has closed the connection, so
/// the sender (tokio-postgres) must not close its half before the pooler has closed its own. PgBouncer 1.18 even
/// crashes.
#[derive(Debug)]
pub(crate) struct KeptOpen<'a>(pub(crate) &'a mut Socket);

impl AsyncRead for KeptOpen<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for KeptOpen<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// Tells tokio-postgres that its stream is ready, with TLS or without. (If tokio-postgres negotiated TLS itself,
/// [`crate::protocol::ServerStream`] would only see encrypted bytes.)
#[derive(Debug)]
pub(crate) struct Ready {
    /// The hash that binds a login to the TLS session, if there is one (`tls-server-end-point`).
    pub(crate) binding: Option<Vec<u8>>,
}

impl<S> TlsConnect<S> for Ready
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    type Stream = Bound<S>;
    type Error = Infallible;
    type Future = future::Ready<Result<Bound<S>, Infallible>>;

    fn connect(self, stream: S) -> Self::Future {
        future::ready(Ok(Bound { stream, binding: self.binding }))
    }
}

/// A stream, and the hash to which a login on it is bound.
#[derive(Debug)]
pub(crate) struct Bound<S> {
    stream: S,
    binding: Option<Vec<u8>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Login for Bound<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.binding.clone().map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bound<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bound<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_socket_options_are_set() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = Address::Tcp(listener.local_addr().expect("an address"));
            let (idle, interval) = (Duration::from_secs(10), Duration::from_secs(5));
            let keep_alive = Some(KeepAlive { idle: Some(idle), interval: Some(interval), count: Some(4) });
            let unacknowledged = Some(Duration::from_secs(60));
            let liveness = Liveness { keep_alive, unacknowledged };
            let Ok(Socket::Tcp(stream)) = Socket::connect(&address, liveness).await else { panic!("no connection") };
            let socket = SockRef::from(&stream);
            assert!(socket.tcp_nodelay().expect("nodelay"));
            assert!(socket.keepalive().expect("keepalive"));
            assert_eq!(socket.tcp_keepalive_time().expect("time"), idle);
            assert_eq!(socket.tcp_keepalive_interval().expect("interval"), interval);
            assert_eq!(socket.tcp_keepalive_retries().expect("retries"), 4);
            assert_eq!(socket.tcp_user_timeout().expect("timeout"), unacknowledged);
        });
    }
}
