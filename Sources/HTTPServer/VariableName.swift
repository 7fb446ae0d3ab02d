/// Names of environment variables in requests, the same for a create, a command and the file of variables.
package enum VariableName {
    /// Whether a process can be given such a name: any that has bytes, and neither `=` nor NUL among them (environ(7)). Shells
    /// take fewer for their own variables, and pass on the rest.
    package static func isValid(_ name: some StringProtocol) -> Bool {
        !name.isEmpty && name.utf8.allSatisfy { $0 != UInt8(ascii: "=") && $0 != 0 }
    }
}
