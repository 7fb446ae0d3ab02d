/// A sandbox's name where all users of the machine can see it: in mounts, control groups and command lines. It is not
/// the id, because knowing an id is enough to reach unsigned ports, and the id cannot be derived from it. `printf %s ID
/// | sha256sum | head -c 32`
enum SandboxName {
    private static let length = 32

    static func of(_ id: String) -> String { String(Digest.hexadecimal(Array(id.utf8)).prefix(length)) }
}
