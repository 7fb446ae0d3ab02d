/// Builds Prometheus' text format 0.0.4: HELP and TYPE before the first sample of each name.
struct PrometheusText {
    private(set) var rendered = ""
    private var typed: Set<String> = []

    enum Kind: String { case counter, gauge, histogram }

    mutating func sample(_ key: MetricsRegistry.Key, _ kind: Kind, value: Double) {
        let name = Self.family(key.label, kind)
        declare(name, key, kind)
        line(name, key.labels, value)
    }

    mutating func histogram(_ key: MetricsRegistry.Key, _ snapshot: Distribution.Snapshot) {
        let name = Self.family(key.label, .histogram)
        declare(name, key, .histogram)
        var cumulative: Int64 = 0
        for (bound, count) in zip(Distribution.bounds, snapshot.buckets) {
            cumulative += count
            line(name + "_bucket", Self.join(key.labels, #"le="\#(Self.number(bound))""#), Double(cumulative))
        }
        line(name + "_bucket", Self.join(key.labels, #"le="+Inf""#), Double(snapshot.count))
        line(name + "_sum", key.labels, snapshot.sum)
        line(name + "_count", key.labels, Double(snapshot.count))
    }

    /// A metric's name by Prometheus' conventions: `MetricCatalog`.
    static func family(_ label: String, _ kind: Kind) -> String {
        var name = Self.name(label)
        func cut(_ end: String) { if name.hasSuffix(end) { name.removeLast(end.utf8.count) } }
        if kind == .counter { cut("_total") }
        if kind != .histogram { cut("_count") }
        if let unit = MetricCatalog.entries[label]?.unit, !name.hasSuffix("_" + unit) { name += "_" + unit }
        return kind == .counter ? name + "_total" : name
    }

    /// Makes a legal metric name: any character but letters, digits, underscores and colons becomes an underscore.
    static func name(_ label: String) -> String {
        let legal = label.unicodeScalars.map { scalar in
            scalar.isASCII
                && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || scalar == "_" || scalar == ":")
                ? Character(scalar) : "_"
        }
        let text = String(legal)
        return text.first?.isNumber ?? true ? "_" + text : text
    }

    static func labels(_ dimensions: [MetricsRegistry.Dimension]) -> String {
        dimensions.map { dimension in
            let escaped = dimension.value.map { character in
                switch character {
                case "\\": #"\\"#
                case "\"": #"\""#
                case "\n": #"\n"#
                default: String(character)
                }
            }.joined()
            return #"\#(name(dimension.name))="\#(escaped)""#
        }.joined(separator: ",")
    }

    static func number(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : String(value)
    }

    private static func join(_ left: String, _ right: String) -> String { left.isEmpty ? right : left + "," + right }

    private mutating func declare(_ name: String, _ key: MetricsRegistry.Key, _ kind: Kind) {
        guard typed.insert(name).inserted else { return }
        if let help = MetricCatalog.entries[key.label]?.help { rendered += "# HELP \(name) \(help)\n" }
        rendered += "# TYPE \(name) \(kind.rawValue)\n"
    }

    private mutating func line(_ name: String, _ labels: String, _ value: Double) {
        rendered += labels.isEmpty ? "\(name) \(Self.number(value))\n" : "\(name){\(labels)} \(Self.number(value))\n"
    }
}

extension MetricsRegistry {
    /// One text of several processes' texts: what has one name stands together, as the format wants it. A series that two of
    /// them have is taken from the first.
    package static func merged(_ texts: [String]) -> String {
        var order: [Substring] = [], families: [Substring: (head: [Substring], lines: [Substring])] = [:]
        var seen: Set<Substring> = []
        for text in texts {
            var family: Substring = "", help: Substring?
            for line in text.split(separator: "\n") {
                if line.hasPrefix("# HELP ") {
                    help = line
                } else if line.hasPrefix("# TYPE ") {
                    family = line.split(separator: " ").dropFirst(2).first ?? ""
                    if families[family] == nil {
                        families[family] = ((help.map { [$0] } ?? []) + [line], [])
                        order.append(family)
                    }
                    help = nil
                } else if !line.hasPrefix("#"), families[family] != nil,
                    seen.insert(line[..<(line.lastIndex(of: " ") ?? line.endIndex)]).inserted
                {
                    families[family]!.lines.append(line)
                }
            }
        }
        return order.map { name in
            let family = families[name]!
            return (family.head + family.lines).joined(separator: "\n") + "\n"
        }.joined()
    }
}
