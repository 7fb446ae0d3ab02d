/// A rule as it stands in JSON: {"action":"allow","target":"pypi.org","ports":[443,"8000-8100"],"protocol":"tcp"}.
struct RuleDocument: Decodable {
    var action: String?
    var target: String?
    var preset: String?
    var ports: [PortDocument]?
    var `protocol`: String?
}

/// A port as a number, or a port or a range as a text.
struct PortDocument: Decodable {
    private enum Form {
        case number(Int)
        case text(String)
    }

    private let form: Form

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let text = try? container.decode(String.self) {
            form = .text(text)
        } else {
            form = .number(try container.decode(Int.self))
        }
    }

    func range() throws(TrafficScopeError) -> ClosedRange<UInt16> {
        switch form {
        case .number(let number): try TrafficScope.range("\(number)")
        case .text(let text): try TrafficScope.range(text)
        }
    }
}

extension TrafficScope {
    /// - Parameter rule: the rule's position, for the error.
    init(ports: [PortDocument]?, protocol name: String?, rule: Int) throws(PolicyError) {
        do throws(TrafficScopeError) {
            if let ports, ports.isEmpty { throw .noPorts }
            var ranges: [ClosedRange<UInt16>] = []
            for port in ports ?? [] { ranges.append(try port.range()) }
            var transport: Transport?
            if let name {
                transport = Transport(rawValue: name)
                if transport == nil { throw .unknownProtocol(name) }
            }
            try self.init(transport: transport, ports: ranges)
        } catch {
            throw .invalidTraffic(rule: rule, error)
        }
    }
}
