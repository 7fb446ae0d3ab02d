import Addresses
import Netfilter
import System

extension ListeningSockets {
    /// The other end of a connection of this machine to itself; nil where there is none any more.
    func accepted(_ connection: CInt) throws -> Listener? {
        let own = try RawSocketAddress(of: connection), other = try RawSocketAddress(peerOf: connection)
        guard let client = own.address, let address = other.address else { return nil }
        return try accepted(at: address, other.port, from: client, own.port)
    }
}
