// SPDX-License-Identifier: Apache-2.0

import com.sun.net.httpserver.HttpServer;
import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.ProxyUpdateCodec;
import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * Gives a proxy that records an AOT cache something to do: a plan with a plain and a TLS listener,
 * requests through both to a server of ours, and the end. Run by scripts/train as a source file on
 * the node's class path: {@code TrainProxy SOCKET CERTIFICATE KEY}, with a proxy about to serve
 * SOCKET, in a directory that is the caller's to remove.
 */
final class TrainProxy {
  private static final int CONNECTIONS = 8;
  private static final int REQUESTS = 200;
  private static final int UPDATE = 1;
  private static final int STATUS = 2;
  private static final int METRICS = 3;
  private static final int DRAIN = 4;
  private static final int ERROR = 129;
  private static final InetAddress LOOPBACK = InetAddress.getLoopbackAddress();

  public static void main(String[] arguments) throws Exception {
    Path socket = Path.of(arguments[0]);
    String certificate = Files.readString(Path.of(arguments[1]));
    String key = Files.readString(Path.of(arguments[2]));

    HttpServer server = HttpServer.create(new InetSocketAddress(LOOPBACK, 0), 0);
    byte[] answer = new byte[1024];
    server.createContext(
        "/",
        exchange -> {
          exchange.getRequestBody().readAllBytes();
          exchange.sendResponseHeaders(200, answer.length);
          exchange.getResponseBody().write(answer);
          exchange.close();
        });
    server.start();
    try (SocketChannel control = connect(socket)) {
      List<Integer> ports = freePorts(3);
      Path policy = Files.createDirectories(socket.resolveSibling("proxy-policy"));
      Files.writeString(
          policy.resolve("policy.yaml"),
          policy(server.getAddress().getPort(), ports, certificate, key));
      call(control, UPDATE, update(policy));
      requests(() -> new Socket(LOOPBACK, ports.get(0)));
      SSLContext tls = trusting(certificate);
      requests(() -> tls.getSocketFactory().createSocket(LOOPBACK, ports.get(1)));
      call(control, STATUS, new byte[0]);
      call(control, METRICS, new byte[0]);
      call(control, UPDATE, update(policy));
      call(control, DRAIN, new byte[8]);
    } finally {
      server.stop(0);
    }
  }

  private static String policy(int backend, List<Integer> ports, String certificate, String key) {
    return """
    apiVersion: weir.dev/v1alpha1
    kind: Mesh
    metadata: {name: training, namespace: training}
    spec:
      proxy: {cgroup: /weir-training-proxy, outboundPort: %d}
    ---
    apiVersion: weir.dev/v1alpha1
    kind: Workload
    metadata: {name: a, namespace: training, labels: {app: a}}
    spec:
      cgroup: /weir-training/a
      ports: [{name: http, port: %d}]
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: a, namespace: training}
    spec:
      clusterIP: 10.96.255.1
      selector: {app: a}
      ports: [{name: http, port: 80, targetPort: http}]
    ---
    apiVersion: v1
    kind: Secret
    type: kubernetes.io/tls
    metadata: {name: tls, namespace: training}
    stringData:
      tls.crt: |
    %s
      tls.key: |
    %s
    ---
    apiVersion: gateway.networking.k8s.io/v1
    kind: Gateway
    metadata: {name: edge, namespace: training}
    spec:
      gatewayClassName: weir
      listeners:
        - {name: http, protocol: HTTP, port: %d}
        - name: https
          protocol: HTTPS
          port: %d
          tls: {certificateRefs: [{name: tls}]}
    ---
    apiVersion: gateway.networking.k8s.io/v1
    kind: HTTPRoute
    metadata: {name: a, namespace: training}
    spec:
      parentRefs: [{name: edge}, {group: "", kind: Service, name: a}]
      rules:
        - matches: [{headers: [{name: x-canary, value: always}]}]
          backendRefs: [{name: a, port: 80}]
        - matches: [{path: {type: PathPrefix, value: /}}]
          backendRefs: [{name: a, port: 80, weight: 99}, {name: a, port: 80, weight: 1}]
    """
        .formatted(
            ports.get(2),
            backend,
            certificate.strip().indent(4).stripTrailing(),
            key.strip().indent(4).stripTrailing(),
            ports.get(0),
            ports.get(1));
  }

  private static byte[] update(Path policy) {
    return switch (PolicyCompiler.compileDirectory(policy)) {
      case Compilation.Compiled compiled -> {
        // No kernel is asked here, so the numbers are our own: any that are not reserved.
        List<Integer> numbers =
            IntStream.range(0, compiled.plan().workloads().size())
                .map(i -> i < 5 ? i : i + 16)
                .boxed()
                .toList();
        yield ProxyUpdateCodec.encode(
            new ProxyUpdate(1, PlanCodec.forProxy(compiled.plan()), numbers, compiled.keyPairs()));
      }
      case Compilation.Refused refused ->
          throw new IllegalStateException("the training policy is refused: " + refused.errors());
    };
  }

  private interface Connector {
    Socket connect() throws IOException;
  }

  private static void requests(Connector connector) throws IOException {
    List<Socket> sockets = new ArrayList<>();
    try {
      for (int i = 0; i < CONNECTIONS; i++) {
        sockets.add(connector.connect());
      }
      for (int i = 0; i < REQUESTS; i++) {
        for (Socket socket : sockets) {
          String head =
              switch (i % 3) {
                case 0 ->
                    "GET /a?b=c HTTP/1.1\r\nHost: training.example\r\nx-canary: always\r\n\r\n";
                case 1 -> "GET / HTTP/1.1\r\nHost: training.example\r\nAccept: */*\r\n\r\n";
                default ->
                    "POST / HTTP/1.1\r\nHost: training.example\r\nContent-Length: 5\r\n\r\nhello";
              };
          OutputStream out = socket.getOutputStream();
          out.write(head.getBytes(StandardCharsets.US_ASCII));
          out.flush();
          response(socket.getInputStream());
        }
      }
    } finally {
      for (Socket socket : sockets) {
        socket.close();
      }
    }
  }

  private static void response(InputStream in) throws IOException {
    StringBuilder head = new StringBuilder();
    while (head.indexOf("\r\n\r\n") < 0) {
      int next = in.read();
      if (next < 0) {
        throw new IOException("the proxy closed the connection: " + head);
      }
      head.append((char) next);
    }
    if (!head.toString().startsWith("HTTP/1.1 200 ")) {
      throw new IOException("the proxy answered: " + head);
    }
    String lower = head.toString().toLowerCase(java.util.Locale.ROOT);
    int at = lower.indexOf("content-length: ");
    if (at < 0) {
      throw new IOException("no length: " + head);
    }
    int length = Integer.parseInt(lower.substring(at + 16, lower.indexOf('\r', at)).strip());
    in.readNBytes(length);
  }

  private static SSLContext trusting(String certificate) throws Exception {
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    store.setCertificateEntry(
        "training",
        CertificateFactory.getInstance("X.509")
            .generateCertificate(
                new ByteArrayInputStream(certificate.getBytes(StandardCharsets.US_ASCII))));
    TrustManagerFactory trust =
        TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(store);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    return context;
  }

  private static List<Integer> freePorts(int count) throws IOException {
    List<ServerSocket> held = new ArrayList<>();
    List<Integer> ports = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      ServerSocket socket = new ServerSocket(0, 1, LOOPBACK);
      held.add(socket);
      ports.add(socket.getLocalPort());
    }
    for (ServerSocket socket : held) {
      socket.close();
    }
    return ports;
  }

  private static SocketChannel connect(Path path) throws IOException, InterruptedException {
    for (int tries = 0; ; tries++) {
      SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
      try {
        channel.connect(UnixDomainSocketAddress.of(path));
        return channel;
      } catch (IOException e) {
        channel.close();
        if (tries == 200) {
          throw new IOException("no proxy at " + path, e);
        }
        Thread.sleep(50);
      }
    }
  }

  private static void call(SocketChannel channel, int type, byte[] payload) throws IOException {
    DataOutputStream out = new DataOutputStream(Channels.newOutputStream(channel));
    out.writeInt(payload.length + 1);
    out.write(type);
    out.write(payload);
    out.flush();
    DataInputStream in = new DataInputStream(Channels.newInputStream(channel));
    byte[] reply = new byte[in.readInt()];
    in.readFully(reply);
    if ((reply[0] & 0xff) == ERROR) {
      throw new IOException(
          "the proxy refused: " + new String(reply, 1, reply.length - 1, StandardCharsets.UTF_8));
    }
  }
}
