/// The operating system and processor that a sandbox asks for.
struct Platform: Codable, Hashable, Sendable {
    var os: String
    var arch: String

    #if arch(x86_64)
        static let own = Platform(os: "linux", arch: "amd64")
    #else
        static let own = Platform(os: "linux", arch: "arm64")
    #endif

    init(os: String, arch: String) {
        self.os = os
        self.arch = arch
    }

    /// nil if the request gives none. Problems are added to the fields' report.
    init?(_ fields: Fields) {
        guard let platform = fields.object("platform", known: ["os", "arch"]) else { return nil }
        for name in ["os", "arch"] where !platform.mentions(name) { platform.missing(name) }
        guard let os = platform.string("os"), let arch = platform.string("arch") else { return nil }
        // As in the reference, " Linux" is linux.
        func plain(_ text: String) -> String { text.filter { !$0.isWhitespace }.lowercased() }
        self.init(os: plain(os), arch: plain(arch))
    }

    /// - Throws: 400 for an unknown platform, or one other than this machine's.
    func check() throws(APIError) {
        guard ["linux", "windows"].contains(os), ["amd64", "arm64"].contains(arch) else {
            throw .parameter(
                "platform \(os.prefix(40))/\(arch.prefix(40)) is unknown: os is linux or windows, arch is amd64 or arm64"
            )
        }
        guard self == .own else {
            throw .parameter("platform \(os)/\(arch) cannot run here: this machine is \(Self.own.os)/\(Self.own.arch)")
        }
    }
}
