import Glibc
import Spelling
import Testing

@testable import Runtimes

/// Paths, names, order and commands of volumes, as values.
@Suite struct VolumeValueTests {
    private func volume(_ name: String, _ path: String) throws -> SandboxVolume {
        SandboxVolume(
            name: name, mountPath: try MountPath(path, of: name), source: .named(NamedVolumeClaim(claim: name)))
    }

    @Test(arguments: [
        ("/data", "/data"), ("/data/", "/data"), ("//data///sub/", "/data/sub"), ("/./data/.", "/data"),
        ("/opt2/opensandbox", "/opt2/opensandbox"), ("/procs", "/procs"), ("/run/secrets", "/run/secrets"),
        ("/etc/ssl", "/etc/ssl"), ("/...", "/..."), ("/a:b", "/a:b"),
    ]) func `a mount path is read in its plain form`(_ text: String, _ plain: String) throws {
        #expect(try MountPath(text, of: "v").description == plain)
    }

    @Test(arguments: [
        "", "data", "./data", "/", "//", "/.", "/../etc", "/data/..", "/data/../x", "/a\0b", "/a\nb", "/proc",
        "/proc/1",
        "/sys/fs/cgroup", "/dev", "/dev/shm", "/opt", "/opt/opensandbox", "/opt/opensandbox/execd", "/etc",
        "/etc/hosts",
        "/etc/resolv.conf", "/etc/hostname/x", "/run", "/run/opensandbox", "/var", "/var/lib/execd/isolation",
        "/" + String(repeating: "a", count: 256), String(repeating: "/a", count: 2048),
    ]) func `a mount path that leads elsewhere or hides what the server needs is refused`(_ text: String) {
        #expect { try MountPath(text, of: "v") } throws: { ($0 as? VolumeProblem)?.code == .invalidMountPath }
    }

    @Test func `nothing that the server mounts itself can be mounted on, below or above`() throws {
        let spec = EngineSpec(id: "a", imageRoot: "/", entrypoint: ["a"])
        let files = SandboxFiles(hostname: "a", system: "/s", token: "/t", isolation: "/i")
        let bundle = BundleConfiguration(
            spec, rootfs: "/r", group: ControlGroup(path: "/g"), execd: "/e", files: files)
        for mount in bundle.mounts where mount.destination != "/run" {
            let path = try PathSteps(mount.destination)
            #expect(MountPath.reserved.contains { path.isWithin($0) }, "\(mount.destination) is not held back")
        }
        #expect { try MountPath("/run", of: "v") } throws: { $0 is VolumeProblem }
    }

    @Test func `volumes stand before what must not be hidden by them, and after the file systems in memory`() throws {
        let spec = EngineSpec(id: "a", imageRoot: "/", entrypoint: ["a"])
        let point = SandboxFiles.VolumePoint(mountPath: "/data", source: "/mnt/volumes/0", isReadOnly: true)
        let files = SandboxFiles(hostname: "a", system: "/s", token: "/t", isolation: "/i", volumes: [point])
        let mounts = BundleConfiguration(spec, rootfs: "/r", group: ControlGroup(path: "/g"), execd: "/e", files: files)
            .mounts
        let order = [
            "/run", "/data", BundleConfiguration.execdPath, BundleConfiguration.tokenPath,
            BundleConfiguration.isolationPath,
        ]
        let places = order.map { name in mounts.firstIndex { $0.destination == name } ?? -1 }
        #expect(places == places.sorted() && places[0] >= 0)
        #expect(mounts[places[1]].options == ["bind", "rprivate", "nosuid", "nodev", "ro"])
    }

    @Test(arguments: ["/etc", "..", "a/..", "../a", "a/../../b", "a\0", "/", String(repeating: "b", count: 300)])
    func `a sub path that leads out is refused`(_ text: String) {
        #expect { _ = try SubPath(text, of: "v") } throws: { ($0 as? VolumeProblem)?.code == .invalidSubPath }
    }

    @Test func `an empty sub path is all of the volume`() throws {
        for text in ["", ".", "./", "./."] { #expect(try SubPath(text, of: "v") == nil) }
        #expect(try SubPath("a//b/./c/", of: "v")?.description == "a/b/c")
    }

    @Test(arguments: [
        "tmp", "C:\\data", "D:/x", "/data/", "//data", "/data//x", "/data/./x", "/data/../x", "/data/..", "/a\u{7f}",
    ])
    func `a host path has one spelling only`(_ text: String) {
        #expect { try HostPath(text, of: "v") } throws: { ($0 as? VolumeProblem)?.code == .invalidHostPath }
        #expect(HostPath(configured: text) == nil)
    }

    @Test func `paths are compared by their bytes`() throws {
        let composed = try MountPath("/caf\u{e9}", of: "a"), decomposed = try MountPath("/cafe\u{301}", of: "b")
        #expect(composed != decomposed)
        #expect(try !PathSteps("/data2").isWithin(PathSteps("/data")))
        #expect(try PathSteps("/data/2").isWithin(PathSteps("/data")))
    }

    @Test(arguments: ["", "-a", "a-", "A", "a_b", "a.b", "ä", "a b", "..", String(repeating: "a", count: 64)])
    func `what is no name is none`(_ text: String) { #expect(!SandboxVolume.isName(text, upTo: 63)) }

    @Test func `volumes are mounted from the outside in, whatever their order in the request`() throws {
        let asked = try [
            volume("c", "/a/b/c"), volume("x", "/x"), volume("a", "/a"), volume("d", "/a/b/c/d"), volume("ab", "/ab"),
        ]
        let plan = VolumePlan(asked)
        #expect(plan.entries.map(\.volume.name) == ["x", "a", "ab", "c", "d"])
        #expect(plan.entries.map(\.parent) == [nil, nil, nil, 1, 3])
        #expect(plan.entries.map(\.below?.text) == [nil, nil, nil, "b/c", "d"])
    }

    @Test func `a record of a sandbox keeps its volumes, and no key of theirs`() throws {
        let keys = BucketKeys(id: "tops3cret-id", secret: "tops3cret")
        var text = "\(keys)"
        dump(keys, to: &text)
        #expect(!text.contains("tops3cret"))
    }
}

/// What is said to the programs that mount buckets.
@Suite struct BucketTests {
    private let keys = BucketKeys(id: "id", secret: "s3cret")

    @Test func `version 1 has the keys in a file and everything else in its arguments`() throws {
        let claim = BucketClaim(bucket: "data", endpoint: "oss.example", version: .one, options: ["umask=022"])
        let command = try BucketCommand(
            claim, keys, prefix: try SubPath("a/b", of: "v"), owner: 7, target: "/m/x", path: "/m/x.keys")
        #expect(command.program == "ossfs" && command.file == "data:id:s3cret\n")
        #expect(
            command.arguments == [
                "data:/a/b", "/m/x", "-o", "url=https://oss.example", "-o", "passwd_file=/m/x.keys", "-o",
                "allow_other",
                "-o", "uid=7", "-o", "gid=7", "-o", "ensure_diskfree=1024", "-o", "umask=022",
            ])
    }

    @Test func `S3 is mounted by paths, in its region, with the keys in a file`() throws {
        let claim = BucketClaim(bucket: "data", endpoint: "http://[::1]:9000", version: .s3, region: "eu-1")
        let command = try BucketCommand(claim, keys, prefix: nil, owner: 7, target: "/m/x", path: "/m/x.keys")
        #expect(command.program == "s3fs" && command.file == "data:id:s3cret\n")
        #expect(command.arguments.contains("url=http://[::1]:9000") && command.arguments.contains("endpoint=eu-1"))
        #expect(command.arguments.contains("use_path_request_style") && !command.arguments.joined().contains("s3cret"))
        for region in ["", "eu,allow_root", "eu -o x", "-o", String(repeating: "a", count: 33)] {
            #expect(throws: VolumeProblem.self) {
                try BucketClaim(bucket: "data", endpoint: "e", version: .s3, region: region).check(keys, of: "v")
            }
        }
    }

    @Test func `the server connects to buckets only where its configuration says`() throws {
        let known = try #require(
            BucketEndpoints([
                "oss.example", "*.amazonaws.com", "10.0.0.1:9000", "[2001:db8::1]:9000", "Mixed.example:443",
            ]))
        for endpoint in [
            "oss.example", "https://oss.example", "http://oss.example:80", "OSS.example:443", "s3.eu-1.amazonaws.com",
            "http://10.0.0.1:9000", "https://[2001:db8::1]:9000", "mixed.example",
        ] { #expect(known.allow(endpoint), "\(endpoint)") }
        for endpoint in [
            "oss.example:9000", "notoss.example", "oss.example.evil", "amazonaws.com", "evilamazonaws.com", "10.0.0.1",
            "10.0.0.1:90000", "169.254.169.254", "[2001:db8::1]", "https://", "oss.example:", "x@oss.example",
            "oss.example.", "2001:db8::1:9000", "",
        ] { #expect(!known.allow(endpoint), "\(endpoint)") }
        for (endpoint, entry) in [
            ("https://OSS.example:443", "oss.example"), ("http://oss.example", "oss.example"),
            ("a.b.amazonaws.com", ".amazonaws.com"), ("S3.amazonaws.com:80", ".amazonaws.com"),
            ("10.0.0.1:9000", "10.0.0.1:9000"), ("mixed.example:80", "mixed.example"),
        ] { #expect(known.entry(for: endpoint) == entry, "\(endpoint)") }
        #expect(!BucketEndpoints().allow("oss.example"))
        for wrong in ["", "*", "a/b", "*.*.x", "h:0", "h:x", ".x", "https://h/p"] {
            #expect(BucketEndpoints([wrong]) == nil, "\(wrong)")
        }
    }

    @Test func `version 2 has everything in a file`() throws {
        let claim = BucketClaim(bucket: "data", endpoint: "oss.example", options: ["attr_timeout=1"])
        let command = try BucketCommand(
            claim, keys, prefix: try SubPath("a/b", of: "v"), owner: 7, target: "/m/x", path: "/m/x.keys")
        #expect(command.program == "ossfs2" && command.arguments == ["mount", "/m/x", "-c", "/m/x.keys"])
        #expect(
            command.file == """
                --oss_endpoint=oss.example
                --oss_bucket=data
                --oss_access_key_id=id
                --oss_access_key_secret=s3cret
                --oss_bucket_prefix=a/b/
                --allow_other=true
                --uid=7
                --gid=7
                --attr_timeout=1

                """)
    }

    @Test(arguments: ["../..", "..", "a/b", "A", "ABC", "ab", "-ab", "a_b", "abc-", "abc/", "a.b", "abc\n"])
    func `a bucket that is no name becomes part of no path`(_ bucket: String) {
        #expect { try BucketClaim(bucket: bucket, endpoint: "e").check(keys, of: "v") } throws: {
            ($0 as? VolumeProblem)?.code == .invalidParameter
        }
    }

    @Test(arguments: [
        "", "-o", "ro,allow_root", "passwd_file=/etc/shadow", "use_cache=/tmp", "url=x", "uid=0", "logfile=/etc/passwd",
        "umask=0 22", "ro=", "unknown",
    ]) func `an option that reaches further than its bucket is refused`(_ option: String) {
        #expect { try BucketClaim(bucket: "abc", endpoint: "e", options: [option]).check(keys, of: "v") } throws: {
            ($0 as? VolumeProblem)?.code == .invalidBucketOption
        }
    }

    @Test(arguments: [
        "a;b", "a&b", "a|b", "a`b", "a$b", "a(b", "a)b", "a<b", "a>b", "a\rb", "a\nb", "a b", "-x",
        "a,allow_root", "h,passwd_file=/etc/shadow", "https://h,use_cache=/etc", "a\\,b", "a=b", "file:///etc",
        "https://", "",
        "https://-x", "a/b", "ä",
    ])
    func `an endpoint that a shell, a file or a list of options reads otherwise is refused`(_ text: String) {
        #expect { try BucketClaim(bucket: "abc", endpoint: text).check(keys, of: "v") } throws: {
            ($0 as? VolumeProblem)?.code == .invalidParameter
        }
    }

    @Test(arguments: ["oss.example", "http://oss.example:8080", "https://10.0.0.1", "[fd00::1]:443", "OSS-a.example"])
    func `an endpoint is a host with a scheme and a port`(_ text: String) throws {
        try BucketClaim(bucket: "abc", endpoint: text).check(keys, of: "v")
    }

    /// Whoever made the text, and whether it was checked before.
    @Test(arguments: [
        ("e,a=b", "umask=022", "/m/x"), ("e", "umask=022,use_cache=/etc", "/m/x"), ("e", "umask=022", "/m,a=b/x"),
        ("e", "umask=\\", "/m/x"),
    ]) func `nothing becomes two mount options`(_ endpoint: String, _ option: String, _ path: String) {
        let claim = BucketClaim(bucket: "data", endpoint: endpoint, version: .one, options: [option])
        #expect {
            try BucketCommand(claim, keys, prefix: nil, owner: 7, target: path, path: path + ".keys")
        } throws: {
            ($0 as? VolumeProblem)?.code == .invalidBucketOption
        }
    }

    @Test(arguments: [("a:b", "s"), ("a", "b\n--x=y"), ("a\n", "s"), ("a", "")])
    func `a key that would be another line or part of its file is refused`(_ id: String, _ secret: String) {
        let keys = BucketKeys(id: id, secret: secret)
        #expect { try BucketClaim(bucket: "abc", endpoint: "e").check(keys, of: "v") } throws: {
            ($0 as? VolumeProblem)?.code == .invalidBucketKeys
        }
    }
}
