//! Datagrams over real sockets of the loopback.

use std::net::UdpSocket;

use super::*;

/// Takes until `count` have come: what each is, and from where.
fn take(datagrams: &mut Datagrams, socket: &UdpSocket, count: usize) -> Vec<(Vec<u8>, SocketAddr)> {
    let mut all = Vec::new();
    while all.len() < count {
        let result = datagrams.receive(socket);
        let came: Vec<_> = datagrams.iter_mut().map(|(bytes, from)| (bytes.to_vec(), from)).collect();
        match result {
            Ok(()) => assert_eq!(came.len(), AT_ONCE),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        all.extend(came);
    }
    all
}

#[test]
fn each_of_many_datagrams_is_whole_in_its_turn_and_from_its_sender() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = UdpSocket::bind(address).unwrap();
        let clients = [(); 2].map(|()| UdpSocket::bind(address).unwrap());
        let mut datagrams = Datagrams::default();
        // The shorter ones come into buffers in which longer ones were.
        for round in 0..2 {
            let mut sent = Vec::new();
            for n in 0..40usize {
                let (client, bytes) = (&clients[n % 2], vec![u8::try_from(n).unwrap(); (1 - round) * 10 + n]);
                client.send_to(&bytes, server.local_addr().unwrap()).unwrap();
                sent.push((bytes, client.local_addr().unwrap()));
            }
            assert_eq!(take(&mut datagrams, &server, 40), sent);
        }
        assert_eq!(datagrams.receive(&server).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(datagrams.iter_mut().len(), 0);
        clients[0].send_to(&[7; 1300], server.local_addr().unwrap()).unwrap();
        let [(bytes, _)] = &take(&mut datagrams, &server, 1)[..] else { panic!("one") };
        assert_eq!(bytes.len(), DATAGRAM_BYTES + 1, "of one that is too long as much as shows it");
    }
}
