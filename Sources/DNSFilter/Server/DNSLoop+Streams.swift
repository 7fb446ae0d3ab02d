import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// A TCP connection of a sandbox to the filter.
struct ClientStream {
    var descriptor: CInt
    var client: DNSClient
    var incoming = StreamBuffer()
    var outgoing: [UInt8] = []
    var lastUse: UInt64

    /// A sandbox that does not read its answers loses the connection.
    static let maxBacklog = 256 << 10
}

extension DNSLoop {
    func acceptStreams(_ listener: CInt, _ client: DNSClient) {
        while true {
            let descriptor = linux_accept_nonblocking(listener)
            guard descriptor >= 0 else { return }
            guard clients[client]!.connections < configuration.connectionsPerSandbox,
                !clients[client]!.sockets.tcpIsRedirected || Self.wasForDNS(descriptor)
            else {
                close(descriptor)
                continue
            }
            clients[client]!.connections += 1
            let number = nextStream
            nextStream += 1
            streams[number] = ClientStream(descriptor: descriptor, client: client, lastUse: now())
            watch(descriptor, .stream(number))
        }
    }

    /// Whether an accepted connection was redirected from port 53 by the ruleset.
    private static func wasForDNS(_ descriptor: CInt) -> Bool {
        let target =
            RawSocketAddress(originalDestinationOf: descriptor, isIPv4: true)
            ?? RawSocketAddress(originalDestinationOf: descriptor, isIPv4: false)
        return target?.port == 53
    }

    func serveStream(_ number: UInt64, _ events: UInt32) {
        guard let descriptor = streams[number]?.descriptor else { return }
        if events & LINUX_EPOLLOUT != 0 { send([], onStream: number) }
        var isOpen = true
        if events & ~LINUX_EPOLLOUT != 0 {
            isOpen = receive(descriptor) { streams[number]?.incoming.append($0) }
        }
        streams[number]?.lastUse = now()
        while let stream = streams[number], let message = streams[number]?.incoming.next() {
            guard let client = clients[stream.client] else { break }
            message.withUnsafeBytes { receive($0, from: client, by: .stream(number)) }
        }
        if !isOpen { closeStream(number) }
    }

    func send(_ bytes: [UInt8], onStream number: UInt64) {
        guard var stream = streams[number] else { return }
        stream.outgoing += bytes
        let isOpen = flush(stream.descriptor, &stream.outgoing)
        streams[number] = stream
        guard isOpen, stream.outgoing.count <= ClientStream.maxBacklog else { return closeStream(number) }
        let events = LINUX_EPOLLIN | (stream.outgoing.isEmpty ? 0 : LINUX_EPOLLOUT)
        poll.modify(stream.descriptor, events, token: Self.token(stream.descriptor))
    }

    func closeStream(_ number: UInt64) {
        guard let stream = streams.removeValue(forKey: number) else { return }
        clients[stream.client]?.connections -= 1
        drop(stream.descriptor)
    }

    func closeIdleStreams(_ present: UInt64) {
        for (number, stream) in streams where stream.lastUse + configuration.connectionIdle <= present {
            closeStream(number)
        }
        for (socketID, stream) in upstreamStreams where stream.deadline <= present {
            closeUpstreamStream(socketID, because: "no answer in time")
        }
    }

    /// Reads what is available; false at the end of the stream or on an error.
    func receive(_ descriptor: CInt, _ take: (UnsafeRawBufferPointer) -> Void) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 1) { buffer in
            let count = recv(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
            if count > 0 { take(UnsafeRawBufferPointer(rebasing: buffer[..<count])) }
            return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR))
        }
    }

    /// Writes as much as the socket accepts; false on an error.
    func flush(_ descriptor: CInt, _ outgoing: inout [UInt8]) -> Bool {
        guard !outgoing.isEmpty else { return true }
        let count = Glibc.send(
            descriptor, outgoing, outgoing.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        if count > 0 { outgoing.removeFirst(count) }
        return count >= 0 || errno == EAGAIN || errno == EINTR
    }
}
