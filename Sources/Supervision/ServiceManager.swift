#if canImport(Glibc)
    import Glibc
#endif

/// What systemd is told of a program that it has started (sd_notify(3)), so that `systemctl start` returns when the program serves
/// rather than when it has begun to.
package enum ServiceManager {
    /// - Parameter socket: a path, or `@` and an abstract name. Nil or empty: nobody waits to be told.
    package static func tellReady(
        socket place: String? = getenv("NOTIFY_SOCKET").map { String(cString: $0) }
    ) throws(SupervisionError) {
        guard let place, !place.isEmpty else { return }
        var address = try ListeningSocket.address(place)
        var length = MemoryLayout<sockaddr_un>.size
        if place.hasPrefix("@") {
            // Every byte counts in an abstract name, zeros as well.
            address.sun_path.0 = 0
            length = MemoryLayout<sockaddr_un>.offset(of: \.sun_path)! + place.utf8.count
        }
        let descriptor = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .last("making a socket") }
        defer { close(descriptor) }
        let message = Array("READY=1".utf8)
        let sent = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, message, message.count, CInt(MSG_NOSIGNAL), $0, socklen_t(length))
            }
        }
        guard sent == message.count else { throw .last("telling systemd at \(place) that the program is ready") }
    }
}
