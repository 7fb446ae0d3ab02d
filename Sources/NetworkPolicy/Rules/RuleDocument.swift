/// A rule as it stands in JSON: {"action":"allow","target":"pypi.org","ports":[443,"8000-8100"],"protocol":"tcp"}.
struct RuleDocument: Codable {
    var action: String?
    var target: String?
    var preset: String?
    var ports: [PortDocument]?
    var `protocol`: String?

    init(_ rule: Rule) {
        action = rule.action.rawValue
        target = rule.text
        // A field that nobody sent is not sent back: older clients know two fields only.
        ports = rule.scope.ports.isEmpty ? nil : rule.scope.ports.map(PortDocument.init)
        self.protocol = rule.scope.transport?.rawValue
    }
}

/// A port as a number, or a port or a range as a text.
struct PortDocument: Codable {
    private enum Form {
        case number(Int)
        case text(String)
    }

    private let form: Form

    init(_ range: ClosedRange<UInt16>) {
        form = range.count == 1 ? .number(Int(range.lowerBound)) : .text(TrafficScope.text(range))
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let text = try? container.decode(String.self) {
            form = .text(text)
        } else {
            form = .number(try container.decode(Int.self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch form {
        case .number(let number): try container.encode(number)
        case .text(let text): try container.encode(text)
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
