import FoundationEssentials

/// How many of the machine's connections one sandbox may have when nobody says: a connection that leaves the machine takes an
/// entry of its table (conntrack), which all sandboxes share, and none may use it up alone.
public enum ConnectionShare {
    /// Of the table, for one sandbox.
    private static let part = 16
    /// Fewer would hinder, and more has hardly anybody. What is counted is walked over.
    private static let bounds = 256...8192
    private static let path = "/proc/sys/net/netfilter/nf_conntrack_max"
    /// What the table holds on a small machine, where it does not say.
    private static let usual = 65_536

    /// - Parameter table: what the table may hold.
    public static func connections(ofTable table: Int) -> Int {
        min(max(table / part, bounds.lowerBound), bounds.upperBound)
    }

    /// Of this machine.
    public static var standard: Int {
        let text = FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return connections(ofTable: Int(text.filter { !$0.isWhitespace }) ?? usual)
    }
}
