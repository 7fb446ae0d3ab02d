import CLinux
import NetworkPolicy
import System

#if canImport(Glibc)
    import Glibc
#endif

// The side of the filter that talks to upstreams.
extension DNSLoop {
    func transmit(_ transmission: Transmission) {
        statistics.upstreamQueries += 1
        if transmission.overTCP { return transmitByStream(transmission) }
        let index = transmission.upstream
        guard let pick = ports[index].pick(using: &random, socketID: &lastSocketID) else {
            return settle(pending.failed(transmission, using: &random, now: present))
        }
        if pick.isNew { watch(pick.port.descriptor, .upstream(index, pick.port.socketID)) }
        if let outgrown = pick.outgrown { drop(outgrown) }
        if queries.isFull { flushQueries() }
        pending.sent(transmission, by: pick.port.socketID)
        message.removeAll(keepingCapacity: true)
        transmission.write(to: &message)
        queries.add(transmission, message, by: pick.port.descriptor)
    }

    /// Sends what waits to go upstream.
    func flushQueries() {
        for transmission in queries.flush() { settle(pending.failed(transmission, using: &random, now: present)) }
    }

    func receiveUpstream(_ bytes: UnsafeRawBufferPointer, from origin: ResponseOrigin) {
        guard let response = try? UpstreamResponse(bytes, reusing: &responseMemory) else {
            statistics.ignoredResponses += 1
            return
        }
        let outcome = pending.receive(response, from: origin, using: &random, now: present)
        if case .ignored = outcome { statistics.ignoredResponses += 1 }
        settle(outcome)
    }

    /// An ICMP error said that nothing listens there.
    func upstreamRefused(_ upstream: Int, _ socketID: UInt64) {
        for outcome in pending.broke(socketID, upstream: upstream, using: &random, now: present) { settle(outcome) }
    }

    // MARK: Streams

    private func transmitByStream(_ transmission: Transmission) {
        let index = transmission.upstream
        guard let socketID = stream(to: index), upstreamStreams[socketID]!.outstanding < UpstreamStream.maxOutstanding
        else {
            return settle(pending.failed(transmission, using: &random, now: present))
        }
        pending.sent(transmission, by: socketID)
        if upstreamStreams[socketID]!.outstanding == 0 {
            upstreamStreams[socketID]!.deadline = now() + configuration.timeout
        }
        upstreamStreams[socketID]!.outstanding += 1
        let message = StreamBuffer.framed(transmission.bytes)
        do throws(UpstreamTLSError) {
            if let tls = upstreamStreams[socketID]!.tls {
                try tls.write(message)
                upstreamStreams[socketID]!.outgoing += tls.takeOutput()
            } else {
                upstreamStreams[socketID]!.outgoing += message
            }
        } catch {
            return closeUpstreamStream(socketID, because: "\(error)")
        }
        flushUpstreamStream(socketID)
    }

    /// A connection to send on. Opens a new one if all are busy and the limit allows it.
    private func stream(to index: Int) -> UInt64? {
        let upstream = configuration.upstreams[index]
        let open = upstreamStreams.filter { $0.value.upstream == index }
        let idlest = open.min { ($0.value.outstanding, $0.key) < ($1.value.outstanding, $1.key) }
        let most = upstream.tls == nil ? UpstreamStream.maxPerUpstream : 1
        if let idlest, idlest.value.outstanding == 0 || open.count >= most { return idlest.key }
        guard links[index].reconnectAt <= now() else { return idlest?.key }
        guard let descriptor = Sockets.connected(to: upstream, stream: true, mark: configuration.upstreamMark) else {
            links[index].failed(now: now(), "\(upstream): \(String(cString: strerror(errno)))")
            return idlest?.key
        }
        var stream = UpstreamStream(descriptor: descriptor, upstream: index, deadline: now() + configuration.timeout)
        do throws(UpstreamTLSError) {
            if let context = tlsContext, upstream.tls != nil {
                stream.tls = try TLSSession(context, upstream: upstream)
            }
        } catch {
            close(descriptor)
            links[index].failed(now: now(), "\(upstream): \(error)")
            return nil
        }
        lastSocketID += 1
        upstreamStreams[lastSocketID] = stream
        watch(descriptor, .upstreamStream(lastSocketID), events: LINUX_EPOLLIN | LINUX_EPOLLOUT)
        return lastSocketID
    }

    func serveUpstreamStream(_ socketID: UInt64, _ events: UInt32) {
        guard let descriptor = upstreamStreams[socketID]?.descriptor else { return }
        if events & LINUX_EPOLLOUT != 0 { flushUpstreamStream(socketID) }
        guard events & ~LINUX_EPOLLOUT != 0, upstreamStreams[socketID] != nil else { return }
        var trouble: String?
        let isOpen = receive(descriptor) { bytes in
            guard let tls = upstreamStreams[socketID]!.tls else {
                return upstreamStreams[socketID]!.incoming.append(bytes)
            }
            var plain: [UInt8] = []
            do throws(UpstreamTLSError) { try tls.receive(bytes, into: &plain) } catch { trouble = "\(error)" }
            plain.withUnsafeBytes { upstreamStreams[socketID]!.incoming.append($0) }
            upstreamStreams[socketID]!.outgoing += tls.takeOutput()
        }
        let reason = isOpen ? nil : String(cString: strerror(errno))
        if isOpen { flushUpstreamStream(socketID) }
        while let message = upstreamStreams[socketID]?.incoming.next() { heard(message, on: socketID) }
        if trouble != nil || !isOpen { closeUpstreamStream(socketID, because: trouble ?? reason ?? "closed") }
    }

    private func heard(_ message: [UInt8], on socketID: UInt64) {
        let stream = upstreamStreams[socketID]!
        upstreamStreams[socketID]!.answers += 1
        upstreamStreams[socketID]!.outstanding = max(stream.outstanding - 1, 0)
        let idle = stream.tls == nil ? UpstreamStream.idle : UpstreamStream.idleTLS
        upstreamStreams[socketID]!.deadline = now() + (stream.outstanding > 1 ? configuration.timeout : idle)
        links[stream.upstream].answered()
        message.withUnsafeBytes {
            receiveUpstream($0, from: ResponseOrigin(upstream: stream.upstream, socketID: socketID, overTCP: true))
        }
    }

    private func flushUpstreamStream(_ socketID: UInt64) {
        guard var stream = upstreamStreams[socketID] else { return }
        let isOpen = flush(stream.descriptor, &stream.outgoing)
        upstreamStreams[socketID]!.outgoing = stream.outgoing
        guard isOpen else { return closeUpstreamStream(socketID, because: String(cString: strerror(errno))) }
        let events = LINUX_EPOLLIN | (stream.outgoing.isEmpty ? 0 : LINUX_EPOLLOUT)
        poll.modify(stream.descriptor, events, token: Self.token(stream.descriptor))
    }

    /// Closes a connection. Questions that waited on it go to another upstream.
    func closeUpstreamStream(_ socketID: UInt64, because reason: String) {
        guard let stream = upstreamStreams.removeValue(forKey: socketID) else { return }
        drop(stream.descriptor)
        guard stream.outstanding > 0 else { return }
        if stream.answers == 0 {
            links[stream.upstream].failed(now: now(), "\(configuration.upstreams[stream.upstream]): \(reason)")
        }
        for outcome in pending.broke(socketID, upstream: stream.upstream, using: &random, now: present) {
            settle(outcome)
        }
    }

    // MARK: Probes

    /// Probes upstreams that do not answer from time to time, so that no real question has to find out.
    func probe(_ present: UInt64) {
        guard configuration.probeInterval > 0, present >= nextProbe else { return }
        nextProbe = present + configuration.probeInterval
        let key = configuration.probeName.map { CacheKey(name: $0, type: RecordType.a) }
        for (index, health) in pending.health.enumerated() where health.misses > 0 {
            let transmission = pending.probe(
                key ?? CacheKey(name: .root, type: RecordType.ns), upstream: index, using: &random, now: present)
            if let transmission { transmit(transmission) }
        }
    }

    /// Nothing is probed while everything answers.
    var nextProbeTime: UInt64? {
        configuration.probeInterval > 0 && pending.health.contains { $0.misses > 0 } ? nextProbe : nil
    }
}
