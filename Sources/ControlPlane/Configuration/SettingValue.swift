import Addresses
import JSON
import Runtimes

/// A file's value for one key, and its error messages, which give the key, the value and the allowed values.
struct SettingValue {
    /// `egress.budgets.connections`
    let path: String
    /// The allowed values, as words after "use".
    let advice: String
    let value: JSONValue
    /// Whether the value must not be repeated in messages.
    var isSecret = false

    /// The error for an invalid value.
    func wrong(_ why: String? = nil) -> ConfigurationError {
        ConfigurationError("\(path) is \(shown); use \(why ?? advice)")
    }

    private var shown: String {
        if isSecret { return "not usable" }
        return switch value {
        case .string(let text): "\"\(text.prefix(200))\""
        case .integer(let number): "\(number)"
        case .number(let number): "\(number)"
        case .boolean(let flag): "\(flag)"
        case .array: "a list"
        case .object: "a table"
        case .null: "nothing"
        }
    }

    /// 30.0 is a whole number, too: the reference's files have it.
    func integer(in range: ClosedRange<Int>) throws(ConfigurationError) -> Int {
        let whole: Int? =
            switch value {
            case .integer(let number): number
            case .number(let number): Int(exactly: number)
            default: nil
            }
        guard let whole, range.contains(whole) else { throw wrong() }
        return whole
    }

    func ratio() throws(ConfigurationError) -> Double {
        switch value {
        case .integer(let number) where (0...1).contains(number): return Double(number)
        case .number(let number) where (0...1).contains(number): return number
        default: throw wrong()
        }
    }

    /// With or without a fraction.
    func number(in range: ClosedRange<Double>) throws(ConfigurationError) -> Double {
        switch value {
        case .integer(let number) where range.contains(Double(number)): return Double(number)
        case .number(let number) where range.contains(number): return number
        default: throw wrong()
        }
    }

    func flag() throws(ConfigurationError) -> Bool {
        guard case .boolean(let flag) = value else { throw wrong() }
        return flag
    }

    func text() throws(ConfigurationError) -> String {
        guard case .string(let text) = value else { throw wrong() }
        return text
    }

    /// nil for "", which counts as absent.
    func textOrNothing() throws(ConfigurationError) -> String? {
        let text = try text()
        return text.isEmpty ? nil : text
    }

    /// The entries of a list, each with its path.
    func entries() throws(ConfigurationError) -> [SettingValue] {
        guard case .array(let entries) = value else { throw wrong() }
        return entries.enumerated().map { SettingValue(path: "\(path).\($0)", advice: advice, value: $1) }
    }

    func texts() throws(ConfigurationError) -> [String] {
        try entries().map { entry throws(ConfigurationError) in try entry.text() }
    }

    /// A list of texts converted by `read`; nil is an error.
    func list<Entry>(_ read: (String) -> Entry?) throws(ConfigurationError) -> [Entry] {
        try entries().map { entry throws(ConfigurationError) in
            guard let read = read(try entry.text()) else { throw entry.wrong() }
            return read
        }
    }

    /// - Parameter mayBeOne: whether a single address is one, too.
    func block(mayBeOne: Bool = true) throws(ConfigurationError) -> CIDRBlock {
        let text = try text()
        if let block = CIDRBlock(text) { return block }
        guard let (address, network) = CIDRBlock.around(text) else { throw wrong() }
        throw wrong(
            mayBeOne ? "\(network) for the network, or \(address) for the address" : "\(network), which it is in")
    }

    func blocks() throws(ConfigurationError) -> [CIDRBlock] {
        try entries().map { entry throws(ConfigurationError) in try entry.block() }
    }

    /// A quantity of bytes, `10Gi`.
    func bytes(in range: ClosedRange<Int64>) throws(ConfigurationError) -> Int64 {
        guard let bytes = ResourceQuantity.bytes(try text()), range.contains(bytes) else { throw wrong() }
        return bytes
    }

    /// A value of an enumeration.
    func choice<Choice: RawRepresentable<String>>(of type: Choice.Type) throws(ConfigurationError) -> Choice {
        guard let choice = Choice(rawValue: try text()) else { throw wrong() }
        return choice
    }
}
