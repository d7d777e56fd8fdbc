//! TLS from a client's side: sockets with and without, and certificates to show and to trust.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConnection, RootCertStore, StreamOwned};

use super::PATIENCE;

/// A connection, in the clear or not.
#[derive(Debug)]
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Socket {
    /// Connects to a server; by TLS if that is how it is spoken to.
    pub(crate) fn to(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Self {
        match tls {
            None => Self::Plain(connect(address)),
            Some(config) => Self::connect_tls(address, config).expect("the handshake succeeds"),
        }
    }

    /// Connects to a server that calls itself localhost, and goes through the handshake.
    pub(crate) fn connect_tls(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let mut socket = connect(address);
        let name = "localhost".try_into().expect("a name");
        let mut connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, socket))))
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The socket below.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// The certificate that the server showed.
    pub(crate) fn shown(&self) -> CertificateDer<'static> {
        let Self::Tls(stream) = self else { panic!("a connection in the clear has no certificate") };
        stream.conn.peer_certificates().expect("a certificate was shown")[0].clone().into_owned()
    }

    /// What was agreed on by ALPN.
    pub(crate) fn alpn(&self) -> Option<Vec<u8>> {
        let Self::Tls(stream) = self else { return None };
        stream.conn.alpn_protocol().map(<[u8]>::to_vec)
    }

    /// The version of TLS.
    pub(crate) fn version(&self) -> Option<rustls::ProtocolVersion> {
        let Self::Tls(stream) = self else { return None };
        stream.conn.protocol_version()
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("the door is open");
    socket.set_nodelay(true).expect("the option can be set");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
    socket.set_write_timeout(Some(PATIENCE)).expect("a time-out can be set");
    socket
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// Somebody who vouches for others.
pub(crate) struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate and its key, as PEM.
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "a test's authority");
        let key = rcgen::KeyPair::generate().expect("a key can be made");
        let certificate = params.self_signed(&key).expect("a certificate can be made");
        Self { issuer: rcgen::Issuer::new(params, key), certificate }
    }

    /// A certificate for `localhost`, valid until the end of this year.
    pub(crate) fn vouch_until(&self, year: i32) -> Pair {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        let key = rcgen::KeyPair::generate().expect("a key can be made");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate can be made");
        Pair { cert: cert.pem(), key: key.serialize_pem() }
    }

    pub(crate) fn vouch(&self) -> Pair {
        self.vouch_until(2099)
    }

    /// Its own certificate, as PEM.
    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A client that trusts it.
    pub(crate) fn trusted(&self) -> Arc<ClientConfig> {
        Arc::new(trusting(&self.pem(), None))
    }
}

/// A client that trusts the certificates in `roots`, and shows `own` if it is asked.
pub(crate) fn trusting(roots: &str, own: Option<&Pair>) -> ClientConfig {
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(roots.as_bytes()) {
        store.add(root.expect("PEM")).expect("a root");
    }
    let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("the versions are known")
        .with_root_certificates(store);
    match own {
        None => builder.with_no_client_auth(),
        Some(Pair { cert, key }) => {
            let certs = CertificateDer::pem_slice_iter(cert.as_bytes()).map(|cert| cert.expect("PEM")).collect();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
            builder.with_client_auth_cert(certs, key).expect("they fit")
        }
    }
}

/// The files of a certificate and its key.
pub(crate) struct PairFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl PairFiles {
    /// In a folder, with this content.
    pub(crate) fn write(folder: &Path, pair: &Pair) -> Self {
        let files = Self { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
        files.replace(pair);
        files
    }

    /// Puts another pair in their place, each file at once.
    pub(crate) fn replace(&self, pair: &Pair) {
        for (path, text) in [(&self.cert, &pair.cert), (&self.key, &pair.key)] {
            let beside = path.with_extension("new");
            std::fs::write(&beside, text).expect("a file can be written");
            std::fs::rename(beside, path).expect("a file can be renamed");
        }
    }

    /// The settings that name them.
    pub(crate) fn variables(&self) -> [(&str, &str); 2] {
        fn text(path: &Path) -> &str {
            path.to_str().expect("a path is text")
        }
        [("CHAPPE_TLS_CERT_FILE", text(&self.cert)), ("CHAPPE_TLS_KEY_FILE", text(&self.key))]
    }
}
