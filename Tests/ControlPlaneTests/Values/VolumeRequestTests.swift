import JSON
import NIOHTTP1
import Runtimes
import Testing

@testable import ControlPlane

/// `volumes` of a create.
@Suite struct VolumeRequestTests {
    private func request(_ volumes: String, volumesAreKnown: Bool = true) throws -> CreateRequest {
        var limits = RequestLimits()
        limits.capabilities.volumes = volumesAreKnown
        let body = #"{"image":{"uri":"x"},"entrypoint":["a"],"resourceLimits":{},"volumes":\#(volumes)}"#
        return try CreateRequest(try JSONValue(body.utf8), limits: limits)
    }

    private func refusal(_ volumes: String, volumesAreKnown: Bool = true) throws -> APIError {
        try #require(throws: APIError.self) { _ = try request(volumes, volumesAreKnown: volumesAreKnown) }
    }

    private static func entry(_ rest: String) -> String { #"[{"name":"v","mountPath":"/v",\#(rest)}]"# }

    @Test func `all kinds of volumes are read`() throws {
        let request = try request(
            """
            [{"name":"h","mountPath":"/h/","host":{"path":"/data/x"},"readOnly":true,"subPath":"a/b"},
             {"name":"p","mountPath":"/p","pvc":{"claimName":"c","createIfNotExists":false,"deleteOnSandboxTermination":true,
              "storageClass":null,"storage":"1.5Gi","accessModes":["ReadWriteOnce"]}},
             {"name":"o","mountPath":"/o","ossfs":{"bucket":"abc","endpoint":"e","accessKeyId":"i","accessKeySecret":"tops3cret"}}]
            """)
        #expect(request.volumes.map(\.name) == ["h", "p", "o"])
        #expect(request.volumes[0].isReadOnly && request.volumes[0].subPath?.description == "a/b")
        #expect(request.volumes[0].mountPath.description == "/h")
        #expect(
            request.volumes[1].source
                == .named(
                    NamedVolumeClaim(claim: "c", createsIfMissing: false, goesWithSandbox: true, bytes: 3 << 29)))
        #expect(request.volumes[2].source == .bucket(BucketClaim(bucket: "abc", endpoint: "e")))
        #expect(request.bucketKeys == ["o": BucketKeys(id: "i", secret: "tops3cret")])
        var text = "\(request)"
        dump(request, to: &text)
        #expect(!text.contains("tops3cret"))
    }

    @Test func `what a claim does not say is made, stays, and has the server's size`() throws {
        let request = try request(Self.entry(#""pvc":{"claimName":"c"},"readOnly":null,"subPath":"","host":null"#))
        #expect(request.volumes[0].source == .named(NamedVolumeClaim(claim: "c")))
        #expect(!request.volumes[0].isReadOnly && request.volumes[0].subPath == nil)
    }

    @Test(arguments: [
        ("5", "body.volumes", "list_type"), ("[5]", "body.volumes.0", "model_attributes_type"),
        ("[{}]", "body.volumes.0.name", "missing"), ("[{}]", "body.volumes.0.mountPath", "missing"),
        ("[{}]", "body.volumes.0", "VOLUME::INVALID_BACKEND"),
        (#"[{"name":"A_b","mountPath":"/a","host":{"path":"/x"}}]"#, "body.volumes.0.name", "VOLUME::INVALID_NAME"),
        (
            #"[{"name":"a","mountPath":"a","host":{"path":"/x"}}]"#, "body.volumes.0.mountPath",
            "VOLUME::INVALID_MOUNT_PATH"
        ),
        (entry(#""host":{"path":"/x"},"pvc":{"claimName":"c"}"#), "body.volumes.0", "VOLUME::INVALID_BACKEND"),
        (entry(#""host":{}"#), "body.volumes.0.host.path", "missing"),
        (entry(#""host":{"path":5}"#), "body.volumes.0.host.path", "string_type"),
        (entry(#""host":{"path":"/x","mode":"rw"}"#), "body.volumes.0.host.mode", "extra_forbidden"),
        (entry(#""host":{"path":"/x"},"read_only":true"#), "body.volumes.0.read_only", "extra_forbidden"),
        (entry(#""host":{"path":"/x"},"nfs":{}"#), "body.volumes.0.nfs", "extra_forbidden"),
        (entry(#""host":{"path":"/x"},"readOnly":"yes""#), "body.volumes.0.readOnly", "bool_type"),
        (entry(#""pvc":{"claimName":"C"}"#), "body.volumes.0.pvc.claimName", "VOLUME::INVALID_PVC_NAME"),
        (entry(#""pvc":{"claimName":"../x"}"#), "body.volumes.0.pvc.claimName", "VOLUME::INVALID_PVC_NAME"),
        (entry(#""pvc":{"claimName":"c","storage":"lots"}"#), "body.volumes.0.pvc.storage", "string_pattern_mismatch"),
        (entry(#""pvc":{"claimName":"c","storage":"1G"}"#), "body.volumes.0.pvc.storage", "string_pattern_mismatch"),
        (entry(#""pvc":{"claimName":"c","storage":".5Gi"}"#), "body.volumes.0.pvc.storage", "string_pattern_mismatch"),
        (entry(#""pvc":{"claimName":"c","accessModes":"x"}"#), "body.volumes.0.pvc.accessModes", "list_type"),
        (entry(#""ossfs":{"bucket":"abc","endpoint":"e"}"#), "body.volumes.0.ossfs.accessKeyId", "missing"),
        (
            entry(#""ossfs":{"bucket":"ab","endpoint":"","version":"3.0","accessKeyId":"i","accessKeySecret":""}"#),
            "body.volumes.0.ossfs.bucket", "VOLUME::INVALID_OSSFS_BUCKET"
        ),
        (
            entry(#""ossfs":{"bucket":"abc","endpoint":"e","version":"3.0","accessKeyId":"i","accessKeySecret":"s"}"#),
            "body.volumes.0.ossfs.version", "VOLUME::INVALID_OSSFS_VERSION"
        ),
        (
            entry(#""ossfs":{"bucket":"abc","endpoint":"e","accessKeyId":"i","accessKeySecret":""}"#),
            "body.volumes.0.ossfs.accessKeySecret", "VOLUME::INVALID_OSSFS_CREDENTIALS"
        ),
    ]) func `a wrong shape is 422, and says where and which rule`(_ volumes: String, _ place: String, _ type: String)
        throws
    {
        let error = try refusal(volumes)
        #expect(error.status == .unprocessableEntity)
        #expect(
            error.detail?.contains { $0.loc.joined(separator: ".") == place && $0.type == type } == true, "\(error)")
    }

    @Test(arguments: [
        (
            #"[{"name":"a","mountPath":"/a","host":{"path":"/x"}},{"name":"a","mountPath":"/b","host":{"path":"/x"}}]"#,
            "VOLUME::DUPLICATE_NAME"
        ),
        (
            #"[{"name":"a","mountPath":"/a","host":{"path":"/x"}},{"name":"b","mountPath":"/a/","host":{"path":"/x"}}]"#,
            "VOLUME::INVALID_MOUNT_PATH"
        ),
        (#"[{"name":"a","mountPath":"/proc/x","host":{"path":"/x"}}]"#, "VOLUME::INVALID_MOUNT_PATH"),
        (entry(#""host":{"path":"tmp"}"#), "VOLUME::INVALID_HOST_PATH"),
        (entry(#""host":{"path":"C:\\data"}"#), "VOLUME::INVALID_HOST_PATH"),
        (entry(#""host":{"path":"/x/../y"}"#), "VOLUME::INVALID_HOST_PATH"),
        (entry(#""host":{"path":"/x"},"subPath":"../y""#), "VOLUME::INVALID_SUB_PATH"),
        (entry(#""host":{"path":"/x"},"subPath":"/y""#), "VOLUME::INVALID_SUB_PATH"),
        (entry(#""pvc":{"claimName":"c","storage":"1"}"#), "SANDBOX::INVALID_PARAMETER"),
        (entry(#""pvc":{"claimName":"c","storage":"5Pi"}"#), "SANDBOX::INVALID_PARAMETER"),
        (
            entry(#""ossfs":{"bucket":"   ","endpoint":"e","accessKeyId":"i","accessKeySecret":"s"}"#),
            "VOLUME::INVALID_OSSFS_BUCKET"
        ),
        (
            entry(#""ossfs":{"bucket":"abc","endpoint":" ","accessKeyId":"i","accessKeySecret":"s"}"#),
            "VOLUME::INVALID_OSSFS_ENDPOINT"
        ),
        (
            entry(#""ossfs":{"bucket":"../..","endpoint":"e","accessKeyId":"i","accessKeySecret":"s"}"#),
            "SANDBOX::INVALID_PARAMETER"
        ),
        (
            entry(#""ossfs":{"bucket":"abc","endpoint":"e","options":["-o"],"accessKeyId":"i","accessKeySecret":"s"}"#),
            "VOLUME::INVALID_OSSFS_OPTION"
        ),
    ]) func `a wrong value is 400 with the contract's code`(_ volumes: String, _ code: String) throws {
        let error = try refusal(volumes)
        #expect(error.status == .badRequest && error.code == code, "\(error)")
    }

    @Test func `all shapes are checked before any value, and values in the order of the request`() throws {
        let wrongValue = #"{"name":"a","mountPath":"/proc","host":{"path":"/x"}}"#
        #expect(try refusal(#"[\#(wrongValue),{"name":"b"}]"#).status == .unprocessableEntity)
        let wrongPath = #"{"name":"b","mountPath":"/b","host":{"path":"x"}}"#
        #expect(try refusal("[\(wrongValue),\(wrongPath)]").code == "VOLUME::INVALID_MOUNT_PATH")
        #expect(try refusal("[\(wrongPath),\(wrongValue)]").code == "VOLUME::INVALID_HOST_PATH")
    }

    @Test func `more volumes than a sandbox can have are refused`() throws {
        func list(_ count: Int) -> String {
            "["
                + (0..<count).map { #"{"name":"v\#($0)","mountPath":"/v\#($0)","pvc":{"claimName":"c"}}"# }.joined(
                    separator: ",") + "]"
        }
        #expect(try request(list(32)).volumes.count == 32)
        #expect(try refusal(list(33)).code == "SANDBOX::INVALID_PARAMETER")
    }

    @Test func `a runtime without volumes refuses them before anything else of them is looked at`() throws {
        #expect(try refusal("[{}]", volumesAreKnown: false).code == "VOLUME::UNSUPPORTED_BACKEND")
        #expect(try request("[]", volumesAreKnown: false).volumes.isEmpty)
        #expect(try request("null").volumes.isEmpty)
    }
}
