import FoundationEssentials
import Glibc
import Logging
import TestSupport
import Testing

@testable import Runtimes

/// A folder with an image store, whose tools are run through a wrapper that writes down what it was started with.
final class StoreFixture: Sendable {
    let folder: String
    /// What a confined tool can still write to is a pipe: no file of the fixture's is open to it.
    private let confinedStarts: CInt

    init() throws {
        folder = "/tmp/spt-images-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        mkfifo(folder + "/confined-starts", 0o600)
        confinedStarts = Glibc.open(folder + "/confined-starts", O_RDWR | O_NONBLOCK | O_CLOEXEC)
    }

    deinit {
        close(confinedStarts)
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// - Parameter umoci: lines of shell to be run in place of umoci; `$last` is the folder to unpack to.
    func store(umoci: String? = nil, unqualifiedRegistry: String? = nil) async throws -> ImageStore {
        var store: ImageStore?
        // The one before may have a job that still lets go of it.
        _ = try await eventually {
            store = try? open(umoci: umoci, unqualifiedRegistry)
            return store != nil
        }
        return try store ?? open(umoci: umoci, unqualifiedRegistry)
    }

    func open(umoci: String? = nil, _ unqualifiedRegistry: String? = nil) throws -> ImageStore {
        let real = "exec \(try Self.path(of: "umoci")) \"$@\""
        let unpack = umoci.map { "for last; do :; done\n" + $0 } ?? real
        return try ImageStore(
            directory: folder + "/store", unqualifiedRegistry: unqualifiedRegistry, logger: Logger(label: "test"),
            skopeo: wrapper("skopeo", "exec \(try Self.path(of: "skopeo")) \"$@\""), umoci: wrapper("umoci", unpack))
    }

    /// What is in the store's folders: unpacked images and unfinished work.
    var contents: [String] {
        ["files", "work"].flatMap { name in
            ControlGroup.entries(of: "\(folder)/store/\(name)").map { "\(name)/\($0)" }
        }.sorted()
    }

    /// A line for each start of a tool: name, mode of its credentials' file, arguments, environment.
    var starts: [Substring] {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let count = read(confinedStarts, &buffer, buffer.count)
        if count > 0 {
            let known = Data(text(of: "starts").utf8)
            try? (known + buffer.prefix(count)).write(to: URL(filePath: folder + "/starts"))
        }
        return text(of: "starts").split(separator: "\n")
    }

    func count(_ words: String) -> Int { starts.count { $0.contains(words) } }

    func text(of name: String) -> String {
        (try? Data(contentsOf: URL(filePath: folder + "/" + name))).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    private func wrapper(_ name: String, _ last: String) throws -> Tool {
        let script = """
            #!/bin/sh
            previous=
            for word; do [ "$previous" = --authfile ] && mode=$(stat -c %a "$word"); previous=$word; done
            echo "\(name) mode=$mode $(tr '\\0\\n' '  ' </proc/$$/cmdline) $(tr '\\0\\n' '  ' </proc/$$/environ)" \
            >>\(folder)/\(name == "umoci" ? "confined-" : "")starts
            \(last)

            """
        let path = folder + "/" + name
        try Script.write(script, to: path)
        return Tool(executable: path)
    }

    private static func path(of name: String) throws -> String { try Tool.find(name, package: name).executable }
}

func contents(of file: String) -> String? {
    (try? Data(contentsOf: URL(filePath: file))).map { String(decoding: $0, as: UTF8.self) }
}
