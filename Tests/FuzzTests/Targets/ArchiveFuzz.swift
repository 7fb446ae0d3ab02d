@testable import Execd

/// Archives that clients send to be unpacked.
enum ArchiveFuzz {
    static func archive(_ bytes: UnsafeRawBufferPointer) {
        let body = Array(bytes)
        let whole = read(body, piece: max(1, body.count))
        let slowly = read(body, piece: 7)
        promise(whole.failure == slowly.failure, "an archive is refused for another reason when it comes in pieces")
        let isSame = whole.entries.elementsEqual(slowly.entries) { $0.entry == $1.entry && $0.content == $1.content }
        promise(whole.failure != nil || isSame, "an archive is another one when it comes in pieces")
        for (entry, content) in slowly.entries {
            promise(entry.size >= 0 && Int64(content.count) <= entry.size, "more content than was said")
            promise(entry.user != .max && entry.group != .max, "an owner that the kernel takes for none")
            promise(entry.kind == .file || entry.size == 0, "content of what is no file")
            if let path = try? EntryPath(entry.name) { check(path, entry) }
            var reader = TarReader()
            promise(
                (try? reader.push(TarWriter.header(entry)))?.first == .entry(entry), "what is written is read otherwise"
            )
        }
    }

    private static func check(_ path: EntryPath, _ entry: TarEntry) {
        promise(path.names.count <= EntryPath.maxDepth, "deeper than can be deleted")
        for name in path.names {
            promise(
                !["", ".", ".."].contains(name) && !name.utf8.contains(FilePath.slash), "a name that leads elsewhere")
            promise(!name.utf8.contains(0), "a name that ends early")
        }
        guard case .symbolicLink(let target) = entry.kind, path.keepsInside(linkTo: target) else { return }
        var depth = path.folder.count
        for part in target.split(separator: "/") where part != "." {
            depth += part == ".." ? -1 : 1
            promise(depth >= 0, "a link leads out")
        }
    }

    private static func read(
        _ body: [UInt8], piece: Int
    ) -> (entries: [(entry: TarEntry, content: [UInt8])], failure: TarError?) {
        var reader = TarReader(), entries: [(entry: TarEntry, content: [UInt8])] = []
        var rest = body[...]
        do throws(TarError) {
            while !rest.isEmpty {
                let part = rest.prefix(piece)
                rest = rest.dropFirst(part.count)
                for event in try reader.push(Array(part)) {
                    switch event {
                    case .entry(let entry): entries.append((entry, []))
                    case .bytes(let bytes): entries[entries.count - 1].content += bytes
                    case .entryEnded: break
                    }
                }
            }
            try reader.finish()
            return (entries, nil)
        } catch { return (entries, error) }
    }
}
