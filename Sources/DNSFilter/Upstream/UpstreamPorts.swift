/// The UDP sockets towards one upstream. Each is connected, so that the kernel drops what comes from anybody else; a
/// query goes out by a random one, and a socket is replaced by one with another port after some use: who wants to forge
/// an answer has to guess port and number (RFC 5452).
struct UpstreamPorts {
    static let width = 8
    static let usesBeforeReplacement = 512

    let upstream: UpstreamAddress
    let mark: SocketMark?
    private var sockets: [(descriptor: CInt, uses: Int)] = []

    init(upstream: UpstreamAddress, mark: SocketMark? = nil) {
        self.upstream = upstream
        self.mark = mark
    }

    /// A socket to send on. `opened` and `closing` let the caller watch the descriptors.
    mutating func pick(
        using random: inout some RandomNumberGenerator, opened: (CInt) -> Void, closing: (CInt) -> Void
    ) -> CInt? {
        if sockets.count < Self.width {
            guard let descriptor = Sockets.connected(to: upstream, stream: false, mark: mark) else {
                return sockets.last?.descriptor
            }
            opened(descriptor)
            sockets.append((descriptor, 1))
            return descriptor
        }
        let index = Int.random(in: 0..<sockets.count, using: &random)
        sockets[index].uses += 1
        let chosen = sockets[index].descriptor
        // Answers to what went out by the oldest are in by the time that all others have been used as often.
        if sockets[index].uses > Self.usesBeforeReplacement, index != 0 {
            closing(sockets[0].descriptor)
            sockets.remove(at: 0)
        }
        return chosen
    }

    mutating func closeAll(closing: (CInt) -> Void) {
        for socket in sockets { closing(socket.descriptor) }
        sockets = []
    }
}
