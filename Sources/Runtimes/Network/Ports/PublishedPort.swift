/// A port of a sandbox, and the port of the machine that forwards to it.
package struct PublishedPort: Codable, Hashable, Sendable {
    package var port: UInt16
    /// The machine's.
    package var at: UInt16

    package init(port: UInt16, at: UInt16) { (self.port, self.at) = (port, at) }
}

/// The ports of a sandbox that are to be published, and for whom.
package struct PortRequest: Codable, Hashable, Sendable {
    package var ports: [UInt16]
    /// nil for all whom the server allows.
    package var sources: SourceList?

    package init(ports: [UInt16], sources: SourceList? = nil) { (self.ports, self.sources) = (ports, sources) }
}

/// Which ports of the machine sandboxes may have, and for whom.
package struct PortConfiguration: Hashable, Sendable {
    package var range: ClosedRange<UInt16>
    /// Whom no request can widen.
    package var sources: SourceList

    package init(range: ClosedRange<UInt16>, sources: SourceList = .machine) {
        (self.range, self.sources) = (range, sources)
    }
}
