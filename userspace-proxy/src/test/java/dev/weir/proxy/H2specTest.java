// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;

/** The suite that asks servers for RFC 7540 and 7541, case by case. */
final class H2specTest {

  private static final String PROGRAM = "/h2spec/2.2.0/h2spec_linux_amd64.tar.gz";

  @TempDir Path directory;

  @Test
  @Timeout(value = 5, unit = TimeUnit.MINUTES)
  void theWholeSuitePasses() throws Exception {
    assumeTrue(
        System.getProperty("os.arch").equals("amd64"), "h2spec is there for amd64 processors only");
    RawBackend.Behaviour answering =
        connection -> {
          for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
            String length = RawBackend.Connection.value(head, "content-length");
            if (!length.isEmpty()) {
              connection.in.skipNBytes(Long.parseLong(length));
            } else if (head.contains("chunked")) {
              connection.respond("Connection: close\r\n", "hello");
              connection.in.readAllBytes();
              return;
            }
            connection.respond("", "hello");
          }
        };
    try (RawBackend backend = new RawBackend(answering);
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      List<Element> cases = run(mesh.port);
      // What is skipped there is what no server can be asked for from outside.
      assertThat(failures(cases)).isEmpty();
      assertThat(cases).hasSizeGreaterThan(140);
    }
  }

  private List<Element> run(int port) throws Exception {
    Path report = directory.resolve("report.xml");
    Path output = directory.resolve("output.txt");
    Process process =
        new ProcessBuilder(
                program().toString(),
                "-h",
                "127.0.0.1",
                "-p",
                Integer.toString(port),
                "--timeout",
                "5",
                "-j",
                report.toString())
            .redirectErrorStream(true)
            .redirectOutput(output.toFile())
            .start();
    try {
      assertThat(process.waitFor(4, TimeUnit.MINUTES)).isTrue();
    } finally {
      process.destroyForcibly();
    }
    assertThat(report).as(() -> read(output)).exists();
    NodeList found =
        DocumentBuilderFactory.newInstance()
            .newDocumentBuilder()
            .parse(report.toFile())
            .getElementsByTagName("testcase");
    return java.util.stream.IntStream.range(0, found.getLength())
        .mapToObj(i -> (Element) found.item(i))
        .toList();
  }

  private static List<String> failures(List<Element> cases) {
    return cases.stream()
        .filter(
            c ->
                c.getElementsByTagName("failure").getLength() > 0
                    || c.getElementsByTagName("error").getLength() > 0
                    || c.getElementsByTagName("skipped").getLength() > 0)
        .map(
            c ->
                c.getAttribute("package")
                    + ": "
                    + c.getAttribute("classname")
                    + ": "
                    + c.getTextContent().strip())
        .toList();
  }

  private static String read(Path file) {
    try {
      return Files.readString(file);
    } catch (IOException e) {
      return e.toString();
    }
  }

  private Path program() throws Exception {
    Path packed = directory.resolve("h2spec.tar.gz");
    try (InputStream in = H2specTest.class.getResourceAsStream(PROGRAM)) {
      assertThat(in).as("the suite, a dependency of these tests").isNotNull();
      Files.write(packed, in.readAllBytes());
    }
    Process tar =
        new ProcessBuilder("tar", "-xzf", packed.toString(), "-C", directory.toString())
            .inheritIO()
            .start();
    assertThat(tar.waitFor()).isZero();
    return directory.resolve("h2spec");
  }
}
