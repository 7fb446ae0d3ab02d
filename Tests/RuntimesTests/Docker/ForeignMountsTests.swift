import Foundation
import HTTPClient
import Testing

@testable import Runtimes

@Suite struct ForeignMountsTests {
    /// Checks mounts in a container with these links.
    private func check(
        image: [String] = [], asked: [String] = [], links: [String: String] = [:], mayNest: Bool = true
    ) async throws(RuntimeError) {
        try await ForeignMounts(image: image, asked: asked).check(mayNest: mayNest) { path in
            var real = "/" + path.text
            for (link, target) in links where real == link || real.hasPrefix(link + "/") {
                real = target + real.dropFirst(link.count)
            }
            return try! PathSteps(real)
        }
    }

    @Test func `volumes beside execd's folder are as always`() async throws {
        try await check()
        try await check(image: ["/data", "/var/lib/x", "/opt/other", "/opt"], asked: ["/work", "/work/cache"])
        try await check(image: ["/opt/opensandbox", "/opt/opensandbox/lib/"])
        try await check(image: ["/var/run/x"], links: ["/var/run": "/run"])
    }

    @Test(arguments: [
        (["/opt/opensandbox/token"], [:]), (["/x/y/opensandbox/lib"], ["/x/y": "/opt"]),
        (["/x/y/z"], ["/x/y/z": "/opt/opensandbox/lib"]), (["/data/opensandbox/lib"], ["/opt": "/data"]),
        (["//opt//opensandbox/./bin"], [:]),
    ])
    func `an image's volume that comes to lie over execd is the caller's fault`(
        _ paths: [String], _ links: [String: String]
    ) async {
        do {
            try await check(image: paths, links: links)
            Issue.record("it was let pass")
        } catch { #expect(error.kind == .image(isCallersFault: true)) }
    }

    @Test(arguments: [
        ("/data/x", ["/data/x": "/opt"]), ("/data", ["/opt": "/data"]), ("/d", ["/d": "/opt/opensandbox"]),
    ])
    func `a request's volume may lie neither over execd nor below it, where others may write`(
        _ path: String, _ links: [String: String]
    ) async {
        do {
            try await check(asked: [path], links: links)
            Issue.record("it was let pass")
        } catch { #expect(error.kind == .volume(code: "VOLUME::INVALID_MOUNT_PATH", isCallersFault: true)) }
    }

    @Test func `a volume in another one is refused where nobody looks at what has come of it`() async throws {
        await #expect(throws: RuntimeError.self) { try await check(asked: ["/data", "/data/x"], mayNest: false) }
        await #expect(throws: RuntimeError.self) {
            try await check(image: ["/e/x"], asked: ["/data"], links: ["/e": "/data"], mayNest: false)
        }
        try await check(image: ["/a", "/a/b"], asked: ["/data"], mayNest: false)
    }

    @Test func `only mounts that others may change make a nest`() throws {
        for (image, asked, nests) in [
            ([], ["/data", "/data/x"], true), (["/data/x"], ["/data"], true), (["/a", "/a/b"], ["/data"], false),
            (["/data"], ["/data/x"], false), ([], ["/data", "/data2"], false),
        ] as [([String], [String], Bool)] {
            let refusal = try ForeignMounts(image: image, asked: asked).nesting
            #expect((refusal != nil) == nests, "\(image) \(asked)")
            if let refusal { #expect(refusal.description.contains("/data/x")) }
        }
    }

    @Test func `paths that are none, and more of them than anybody needs, are refused`() {
        #expect(throws: RuntimeError.self) { try ForeignMounts(image: ["/a/../b"], asked: []) }
        #expect(throws: RuntimeError.self) { try ForeignMounts(image: (0...64).map { "/\($0)" }, asked: []) }
    }

    @Test func `the engine says what is at a path, or it is not known`() throws {
        func place(_ text: String) throws -> ContainerPaths.Place {
            try ContainerPaths.place(Data(text.utf8).base64EncodedString())
        }
        #expect(try place(#"{"name":"x","size":1,"mode":2147484141,"linkTarget":""}"#) == .something)
        #expect(try place(#"{"name":"x","linkTarget":"/opt"}"#) == .link("/opt"))
        #expect(throws: EngineFailure.self) { try place("[]") }
        #expect(throws: EngineFailure.self) { try ContainerPaths.place("?") }
        #expect(throws: EngineFailure.self) { try ContainerPaths.place("") }
    }
}

@Suite struct EngineImageNameTests {
    private let digest = "sha256:" + String(repeating: "a", count: 64)

    private func image(tags: String, digests: String = "null") throws -> EngineImage {
        try EngineClient.read(
            Array(
                #"{"Id":"sha256:1","Os":"linux","Architecture":"amd64","RepoTags":\#(tags),"RepoDigests":\#(digests)}"#
                    .utf8))
    }

    @Test func `an image has its names, and neither its id nor a part of it is one`() throws {
        let found = try image(tags: #"["tool:1","r.example/a/b:2"]"#, digests: #"["r.example/a/b@\#(digest)"]"#)
        for name in ["tool:1", "docker.io/library/tool:1", "r.example/a/b:2", "r.example/a/b@\(digest)"] {
            #expect(found.isNamed(try ImageReference(name)), "\(name)")
        }
        for name in ["tool", "r.example/a/b:1", "other@\(digest)", digest, "aaaaaaaaaaaa"] {
            #expect(!found.isNamed(try ImageReference(name)), "\(name)")
        }
        #expect(!(try image(tags: "null").isNamed(try ImageReference("tool:1"))))
    }
}
