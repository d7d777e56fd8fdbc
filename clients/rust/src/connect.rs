//! Opens a connection: TCP, and TLS on it.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::address::Address;
use crate::connection::Io;
use crate::disconnect::Disconnect;

/// How long to wait for a connection, and again for TLS on it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) async fn open(address: &Address, tls: Option<Arc<ClientConfig>>) -> Result<Box<dyn Io>, Disconnect> {
    let unreachable = |reason: String| Disconnect::Unreachable { address: address.to_string(), reason };
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect((address.host.as_str(), address.port)))
        .await
        .map_err(|_| unreachable("it does not answer".to_owned()))?
        .map_err(|error| unreachable(error.to_string()))?;
    // Packets are small; those that go together are written together.
    stream.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
    let Some(config) = tls else { return Ok(Box::new(stream)) };
    let failed = |reason: String| Disconnect::Tls { address: address.to_string(), reason };
    let name = ServerName::try_from(address.host.clone()).map_err(|error| failed(error.to_string()))?;
    let stream = timeout(CONNECT_TIMEOUT, TlsConnector::from(config).connect(name, stream))
        .await
        .map_err(|_| failed("it does not answer".to_owned()))?
        .map_err(|error| failed(error.to_string()))?;
    Ok(Box::new(stream))
}
