/// What sessions have changed on the sandbox's disk.
extension IsolatedSessions {
    /// Where the changes of a session's overlays are, and the folders that they are of.
    static func layers(of session: IsolatedSession, on host: SessionHost) -> [(upper: String, path: String)] {
        session.plan.mounts.enumerated().filter { $0.element.kind == .layer }.map { number, mount in
            (host.folder + "/" + session.plan.folder + "/" + SessionPlan.layer(number).upper, mount.path)
        }
    }

    /// Bytes of all changes of all sessions. Looks at each file.
    var changedBytes: Int64 {
        let sessions = all
        // Without sessions nobody has been asked for who builds them.
        guard !sessions.isEmpty, let host else { return 0 }
        return sessions.flatMap { Self.layers(of: $0, on: host) }.reduce(0) { total, layer in
            let (sum, overflows) = total.addingReportingOverflow(LayerArchive.size(of: layer.upper, upTo: .max) ?? .max)
            return overflows ? .max : sum
        }
    }

    /// - Parameter adding: bytes that are about to be written.
    /// - Throws: where sessions have changed as much as all of them may.
    func checkRoom(adding: Int64 = 0) async throws {
        let most = settings.upperMaxBytes
        guard most > 0 else { return }
        let bytes = try await meter.bytes(limit: most) { [self] in try await FileWork()({ self.changedBytes }) }
        guard bytes < most else {
            throw ExecdError.failed(
                "isolated sessions have changed \(bytes) bytes, and may change \(most) together: delete some")
        }
        // A length is only what a request says: one that lies does not have everything measured again.
        meter.add(min(adding, most / 16))
    }
}
