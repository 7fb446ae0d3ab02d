import CLinux
import NetworkPolicy

#if canImport(Glibc)
    import Glibc
#endif

// The filter as the upstreams' client.
extension DNSLoop {
    func transmit(_ transmission: Transmission) {
        statistics.upstreamQueries += 1
        if transmission.overTCP { return transmitByStream(transmission) }
        let index = transmission.upstream
        guard let pick = ports[index].pick(using: &random, road: &lastRoad) else {
            return settle(pending.failed(transmission, using: &random, now: present))
        }
        if pick.isNew { watch(pick.port.descriptor, .upstream(index, pick.port.road)) }
        if let outgrown = pick.outgrown { drop(outgrown) }
        if queries.isFull { flushQueries() }
        pending.sent(transmission, by: pick.port.road)
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

    /// ICMP said that nobody is there.
    func upstreamRefused(_ upstream: Int, _ road: UInt64) {
        for outcome in pending.broke(road, upstream: upstream, using: &random, now: present) { settle(outcome) }
    }

    // MARK: Streams

    private func transmitByStream(_ transmission: Transmission) {
        let index = transmission.upstream
        guard let road = stream(to: index), upstreamStreams[road]!.outstanding < UpstreamStream.mostOutstanding else {
            return settle(pending.failed(transmission, using: &random, now: present))
        }
        pending.sent(transmission, by: road)
        if upstreamStreams[road]!.outstanding == 0 { upstreamStreams[road]!.deadline = now() + configuration.timeout }
        upstreamStreams[road]!.outstanding += 1
        let message = StreamBuffer.framed(transmission.bytes)
        do throws(TLSError) {
            if let tls = upstreamStreams[road]!.tls {
                try tls.write(message)
                upstreamStreams[road]!.outgoing += tls.takeOutput()
            } else {
                upstreamStreams[road]!.outgoing += message
            }
        } catch {
            return closeUpstreamStream(road, because: "\(error)")
        }
        flushUpstreamStream(road)
    }

    /// A connection to send on, and a new one while all are busy and more are allowed.
    private func stream(to index: Int) -> UInt64? {
        let upstream = configuration.upstreams[index]
        let open = upstreamStreams.filter { $0.value.upstream == index }
        let idlest = open.min { ($0.value.outstanding, $0.key) < ($1.value.outstanding, $1.key) }
        let most = upstream.tls == nil ? UpstreamStream.mostPerUpstream : 1
        if let idlest, idlest.value.outstanding == 0 || open.count >= most { return idlest.key }
        guard links[index].reconnectAt <= now() else { return idlest?.key }
        guard let descriptor = Sockets.connected(to: upstream, stream: true, mark: configuration.upstreamMark) else {
            links[index].failed(now: now(), "\(upstream): \(String(cString: strerror(errno)))")
            return idlest?.key
        }
        var stream = UpstreamStream(descriptor: descriptor, upstream: index, deadline: now() + configuration.timeout)
        do throws(TLSError) {
            if let context = tlsContext, upstream.tls != nil {
                stream.tls = try TLSSession(context, upstream: upstream)
            }
        } catch {
            close(descriptor)
            links[index].failed(now: now(), "\(upstream): \(error)")
            return nil
        }
        lastRoad += 1
        upstreamStreams[lastRoad] = stream
        watch(descriptor, .upstreamStream(lastRoad), events: LINUX_EPOLLIN | LINUX_EPOLLOUT)
        return lastRoad
    }

    func serveUpstreamStream(_ road: UInt64, _ events: UInt32) {
        guard let descriptor = upstreamStreams[road]?.descriptor else { return }
        if events & LINUX_EPOLLOUT != 0 { flushUpstreamStream(road) }
        guard events & ~LINUX_EPOLLOUT != 0, upstreamStreams[road] != nil else { return }
        var trouble: String?
        let isOpen = receive(descriptor) { bytes in
            guard let tls = upstreamStreams[road]!.tls else { return upstreamStreams[road]!.incoming.append(bytes) }
            var plain: [UInt8] = []
            do throws(TLSError) { try tls.receive(bytes, into: &plain) } catch { trouble = "\(error)" }
            plain.withUnsafeBytes { upstreamStreams[road]!.incoming.append($0) }
            upstreamStreams[road]!.outgoing += tls.takeOutput()
        }
        let reason = isOpen ? nil : String(cString: strerror(errno))
        if isOpen { flushUpstreamStream(road) }
        while let message = upstreamStreams[road]?.incoming.next() { heard(message, on: road) }
        if trouble != nil || !isOpen { closeUpstreamStream(road, because: trouble ?? reason ?? "closed") }
    }

    private func heard(_ message: [UInt8], on road: UInt64) {
        let stream = upstreamStreams[road]!
        upstreamStreams[road]!.answers += 1
        upstreamStreams[road]!.outstanding = max(stream.outstanding - 1, 0)
        let idle = stream.tls == nil ? UpstreamStream.idle : UpstreamStream.idleTLS
        upstreamStreams[road]!.deadline = now() + (stream.outstanding > 1 ? configuration.timeout : idle)
        links[stream.upstream].answered()
        message.withUnsafeBytes {
            receiveUpstream($0, from: ResponseOrigin(upstream: stream.upstream, road: road, overTCP: true))
        }
    }

    private func flushUpstreamStream(_ road: UInt64) {
        guard var stream = upstreamStreams[road] else { return }
        let isOpen = flush(stream.descriptor, &stream.outgoing)
        upstreamStreams[road]!.outgoing = stream.outgoing
        guard isOpen else { return closeUpstreamStream(road, because: String(cString: strerror(errno))) }
        let events = LINUX_EPOLLIN | (stream.outgoing.isEmpty ? 0 : LINUX_EPOLLOUT)
        _ = linux_epoll_modify(epoll, stream.descriptor, events, UInt64(UInt32(bitPattern: stream.descriptor)))
    }

    /// What waited on it is asked elsewhere.
    func closeUpstreamStream(_ road: UInt64, because reason: String) {
        guard let stream = upstreamStreams.removeValue(forKey: road) else { return }
        drop(stream.descriptor)
        guard stream.outstanding > 0 else { return }
        if stream.answers == 0 {
            links[stream.upstream].failed(now: now(), "\(configuration.upstreams[stream.upstream]): \(reason)")
        }
        for outcome in pending.broke(road, upstream: stream.upstream, using: &random, now: present) { settle(outcome) }
    }

    // MARK: Probes

    /// Upstreams that do not answer are tried now and then, so that no question has to.
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
