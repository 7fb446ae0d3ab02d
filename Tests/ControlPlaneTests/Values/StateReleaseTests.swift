import System
import TestSupport
import Testing

@testable import ControlPlane

@Suite struct StateReleaseTests {
    private let folder = TemporaryFolder("release")
    private var path: String { folder.path + "/release" }

    private func claim(as running: String) throws {
        try StateRelease(folder: folder.path, running: try #require(ReleaseNumber(running[...]))).claim()
    }

    @Test func `a state has the number of the newest release that has used it, compared by numbers`() throws {
        for running in ["0.2.0", "0.2.0", "0.9.0", "0.10.0", "1.0.0"] {
            try claim(as: running)
            #expect(File.text(path) == running + "\n")
        }
    }

    @Test(arguments: ["0.2.0", "0.9.9", "0.10.2"])
    func `an older release is refused with both numbers, and the file stays`(_ older: String) throws {
        try claim(as: "0.10.3")
        let error = try #require(throws: ConfigurationError.self) { try claim(as: older) }
        #expect(error.description.contains("release 0.10.3") && error.description.contains("this is \(older)"))
        #expect(File.text(path) == "0.10.3\n")
    }

    @Test(arguments: [
        "", "\n", "0.2", "0.2.0.0", "-1.2.0", "+0.2.0", "0.2.x", "0..0", " 0.2.0", "0.2.0\n\n", "0.2.0\n0.3.0", "0.2.٣",
        "4294967296.0.0", String(repeating: "9", count: 60) + ".0.0", String(repeating: "1", count: 1000),
    ])
    func `what is no number is refused with the file's name, and stays`(_ content: String) throws {
        try File.write(Array(content.utf8), to: path, mode: 0o600)
        let error = try #require(throws: ConfigurationError.self) { try claim(as: "0.2.0") }
        #expect(error.description.contains(path) && error.description.utf8.count < 300)
        #expect(File.text(path) == content)
    }

    @Test func `this program has a number`() {
        #expect(ReleaseNumber(Release.version[...])?.description == Release.version)
    }

    @Test func `a folder that is not there is an error that names it`() throws {
        let error = try #require(throws: ConfigurationError.self) {
            try StateRelease(folder: folder.path + "/none").claim()
        }
        #expect(error.description.contains(folder.path + "/none"))
    }
}
