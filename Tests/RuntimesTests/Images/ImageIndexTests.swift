import Logging
import TestSupport
import Testing

@testable import Runtimes

@Suite struct ImageIndexTests {
    private let folder = TemporaryFolder("index")

    private func index(isHeld: Bool) throws -> ImageIndex {
        ImageIndex(folders: try ImageFolders.create(at: folder.path, logger: Logger(label: "test")) { _ in isHeld })
    }

    @Test func `what snapshots stand on stays, by whichever of its names`() throws {
        let names = try ["registry.example/app:1", "registry.example/app:2"].map { try ImageReference($0) }
        let held = try index(isHeld: true)
        for name in names {
            let image = SandboxImage(reference: name.description, root: folder.path)
            try held.record(.init(image: image, name: name.name, manifest: "sha256:a", access: .open))
        }
        for name in names { #expect(throws: ImageError.inUse(name.familiar)) { try held.remove(name) } }
        #expect(held.all.count == 2)
        let free = try index(isHeld: false)
        try free.remove(names[0])
        #expect(free.all.map(\.image.reference) == [names[1].description], "the other name's files stay")
    }
}
