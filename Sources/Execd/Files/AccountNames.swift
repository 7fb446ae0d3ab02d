import System

/// Names of users or groups, read from passwd(5) or group(5), since a static program has no name service.
struct AccountNames: Hashable, Sendable {
    private var numbers: [String: UInt32] = [:]
    private var names: [UInt32: String] = [:]

    /// If a number or a name occurs twice, the first line counts, as in getpwnam(3).
    init(_ text: String) {
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count >= 3, !fields[0].isEmpty, let number = UInt32(fields[2]) else { continue }
            let name = String(fields[0])
            if numbers[name] == nil { numbers[name] = number }
            if names[number] == nil { names[number] = name }
        }
    }

    static func users() -> AccountNames { read("/etc/passwd") }
    static func groups() -> AccountNames { read("/etc/group") }

    private static func read(_ path: String) -> AccountNames {
        AccountNames(File.text(path) ?? "")
    }

    /// The number of a name, or of digits.
    subscript(name: String) -> UInt32? {
        if let number = numbers[name] { return number }
        // The kernel takes the largest number to mean "leave unchanged".
        guard let number = UInt32(name), number != .max else { return nil }
        return number
    }

    /// The name, or the digits if there is none.
    subscript(number: UInt32) -> String { names[number] ?? String(number) }
}

/// Users and groups, read once for each request.
struct Accounts: Hashable, Sendable {
    var users: AccountNames
    var groups: AccountNames

    static func current() -> Accounts { Accounts(users: .users(), groups: .groups()) }
}
