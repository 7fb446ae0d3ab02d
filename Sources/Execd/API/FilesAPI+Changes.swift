import CLinux
import HTTPServer
import NIOHTTP1
import Spelling

#if canImport(Glibc)
    import Glibc
#endif

/// Routes that change files. A request is checked completely before any of it is performed.
extension FilesAPI {
    private struct Move: Decodable, Sendable {
        var src: String
        var dest: String
    }

    private struct Replaced: Encodable, Sendable {
        var replacedCount: Int
    }

    /// `POST /files/mv`: `[{"src","dest"}]`; nothing is replaced. Folders that are made get the owner of what is moved.
    func move(_ request: HTTPRequest) async throws -> Reply {
        let asked = try await Self.json([Move].self, request)
        let moves = Array(zip(try await expand(asked.map(\.src)), try await expand(asked.map(\.dest))))
        try await work {
            for (source, target) in moves {
                let moved = try FileStatus.of(source)
                let made = try FolderChanges.create(FilePath.folder(of: target))
                // Without the right to change owners they belong to the caller.
                try? FolderChanges.give(made, owner: moved.st_uid, group: moved.st_gid)
                let status = linux_rename_new(source, target)
                guard status != 0 else { continue }
                FolderChanges.discard(made)
                throw FileError.system("move \(source) to \(target)", code: -status)
            }
        }
        return .empty(.ok)
    }

    /// `POST /files/permissions`: `{path: {"mode","owner","group"}}`
    func setPermissions(_ request: HTTPRequest) async throws -> Reply {
        let changes = try await rights(request)
        try await work {
            for (path, _) in changes { _ = try FileStatus.of(path, follows: true) }
            for (path, rights) in changes { try rights.apply(to: path) }
        }
        return .empty(.ok)
    }

    /// `POST /directories`: `{path: {"mode","owner","group"}}`. One that is there stays as it is; parents that are made get the
    /// owner, too.
    func createFolders(_ request: HTTPRequest) async throws -> Reply {
        let folders = try await rights(request)
        try await work {
            for (path, rights) in folders {
                let made = try FolderChanges.create(path)
                guard made.last == path else { continue }
                do {
                    try FolderChanges.give(made, owner: rights.owner, group: rights.group)
                    try rights.apply(to: path)
                } catch {
                    FolderChanges.discard(made)
                    throw error
                }
            }
        }
        return .empty(.ok)
    }

    /// `DELETE /directories?path=a&path=b`
    func deleteFolders(_ request: HTTPRequest) async throws -> Reply {
        let paths = try await expand(try self.paths(request))
        try await work { for path in paths { try FolderChanges.removeTree(path) } }
        return .empty(.ok)
    }

    /// `DELETE /files?path=a&path=b`
    func deleteFiles(_ request: HTTPRequest) async throws -> Reply {
        let paths = try await expand(try self.paths(request))
        try await work {
            for path in paths {
                guard unlink(path) != 0, errno != ENOENT, errno != ENOTDIR else { continue }
                throw FileError.system("delete \(path)", code: errno)
            }
        }
        return .empty(.ok)
    }

    /// `POST /files/replace?verbose=`: `{path: {"old","new"}}`
    func replace(_ request: HTTPRequest) async throws -> Reply {
        let verbose = request.query("verbose") == "true"
        let replacements = try await Self.json([ExactName: TextReplacement].self, request)
        for (path, replacement) in replacements where replacement.old.isEmpty {
            throw FileError.invalidRequest("old is empty for \(path)")
        }
        let sorted = replacements.sorted { $0.key < $1.key }
        let paths = try await expand(sorted.map(\.key.text))
        let counts = try await work {
            try zip(sorted, paths).map { entry, path in
                (entry.key, Replaced(replacedCount: try Self.replace(entry.value, in: path)))
            }
        }
        return verbose ? .json(.ok, byName: counts) : .empty(.ok)
    }

    private static func replace(_ replacement: TextReplacement, in path: String) throws -> Int {
        let file = try FileBytes(path)
        guard file.size <= TextReplacement.maxFile else {
            throw FileError.invalidContent("\(path) is larger than \(TextReplacement.maxFile) bytes")
        }
        let (bytes, count) = replacement.apply(to: try file.readAll(upTo: TextReplacement.maxFile))
        guard count > 0 else { return 0 }
        let staged = try StagedFile(path)
        try bytes.withUnsafeBytes { try staged.write($0) }
        try staged.complete(FileRights.Resolved())
        try staged.commit()
        return count
    }

    /// Sorted by path, so that parents come first.
    private func rights(_ request: HTTPRequest) async throws -> [(String, FileRights.Resolved)] {
        let asked = try await Self.json([ExactName: FileRights].self, request)
        let names = try await work { Accounts.current() }
        let sorted = asked.sorted { $0.key < $1.key }
        let paths = try await expand(sorted.map(\.key.text))
        return try zip(paths, sorted).map { ($0, try $1.value.resolved(names)) }
    }
}
