import System

/// The default limit of open connections of one sandbox. Each connection that leaves the machine takes an entry of the
/// conntrack table, which all sandboxes share, so no sandbox may use it up alone.
public enum ConnectionShare {
    /// One sandbox gets one part in so many of the table.
    private static let part = 16
    /// A lower limit would hinder normal use, and hardly anybody needs more. The kernel walks over all counted
    /// connections, so many are expensive.
    private static let bounds = 256...8192
    private static let path = "/proc/sys/net/netfilter/nf_conntrack_max"
    /// The assumed table size if the kernel does not tell.
    private static let usual = 65_536

    /// - Parameter table: the size of the table.
    public static func connections(ofTable table: Int) -> Int {
        min(max(table / part, bounds.lowerBound), bounds.upperBound)
    }

    /// The limit for this machine.
    public static var standard: Int {
        let text = File.text(path) ?? ""
        return connections(ofTable: Int(text.filter { !$0.isWhitespace }) ?? usual)
    }
}
