import FoundationEssentials

/// Images for a test registry, made by umoci of a few files.
public enum RegistryImage {
    /// Makes an image with one layer in an OCI layout: a set-uid program, a file of user 1000, and `/greeting`.
    ///
    /// - Returns: the layout and the image's name in it, as `oci:` wants it.
    public static func create(
        in folder: String, greeting: String = "hello", architecture: String? = nil
    ) throws -> String {
        let files = folder + "/image-files"
        let layout = folder + "/image-layout"
        let image = layout + ":image"
        try? FileManager.default.removeItem(atPath: files)
        try? FileManager.default.removeItem(atPath: layout)
        try FileManager.default.createDirectory(atPath: files + "/home", withIntermediateDirectories: true)
        try Data(greeting.utf8).write(to: URL(filePath: files + "/greeting"))
        try Data("#!/bin/sh\n".utf8).write(to: URL(filePath: files + "/program"))
        try Data("mine\n".utf8).write(to: URL(filePath: files + "/home/file"))
        try Command.run("chmod", "4755", files + "/program")
        try Command.run("chown", "-R", "1000:1000", files + "/home")
        try Command.run("umoci", "init", "--layout", layout)
        try Command.run("umoci", "new", "--image", image)
        try Command.run("umoci", "insert", "--image", image, files, "/")
        try Command.run(
            "umoci", "config", "--image", image, "--config.entrypoint", "/program", "--config.entrypoint", "--serve",
            "--config.cmd", "now", "--config.env", "LANG=C.UTF-8", "--config.env", "EQUATION=a=b",
            "--config.workingdir", "/home", "--config.user", "1000:1000")
        if let architecture {
            try Command.run("umoci", "config", "--image", image, "--architecture", architecture)
        }
        return image
    }
}
