// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Workload;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class BaggageTest {

  private static Workload workload(String kind, String name, String app, String version) {
    return new Workload("shop", name, kind, 5, List.of(), false, "web", app, version);
  }

  @ParameterizedTest
  @CsvSource({
    "Deployment, k8s.deployment.name",
    "StatefulSet, k8s.statefulset.name",
    "DaemonSet, k8s.daemonset.name",
    "CronJob, k8s.cronjob.name",
    "Job, k8s.job.name",
    "Pod, k8s.pod.name",
    "Workload, k8s.deployment.name"
  })
  void aWorkloadIsToldByItsKind(String kind, String key) {
    String told = Baggage.of(workload(kind, "web", "", ""));
    assertThat(told).isEqualTo("k8s.namespace.name=shop," + key + "=web,service.name=web");
    assertThat(Baggage.read(List.of(told))).contains(new Baggage("shop", "web"));
  }

  @Test
  void applicationAndVersionAreTold() {
    assertThat(Baggage.of(workload("Deployment", "web-v2", "web", "v2")))
        .isEqualTo(
            "k8s.namespace.name=shop,k8s.deployment.name=web-v2,"
                + "service.name=web,service.version=v2");
  }

  @Test
  void whatNoValueMayHaveIsEncoded() {
    String told = Baggage.of(workload("Deployment", "a,b;c=d \"é%", "x", ""));
    assertThat(told)
        .isEqualTo(
            "k8s.namespace.name=shop,k8s.deployment.name=a%2Cb%3Bc%3Dd%20%22%C3%A9%25,"
                + "service.name=x");
    assertThat(Baggage.read(List.of(told))).contains(new Baggage("shop", "a,b;c=d \"é%"));
  }

  @Test
  void whatZtunnelSaysIsUnderstood() {
    assertThat(
            Baggage.read(
                List.of(
                    "k8s.cluster.name=Kubernetes,k8s.namespace.name=shop,"
                        + "k8s.deployment.name=web,service.name=web,service.version=v1,"
                        + "cloud.region=r1,cloud.availability_zone=z1")))
        .contains(new Baggage("shop", "web"));
  }

  @Test
  void spacesPropertiesAndSeveralFieldsAreBaggageToo() {
    assertThat(
            Baggage.read(
                List.of("k8s.namespace.name = shop ;p=1;q , other=x", "k8s.pod.name=web-0;p")))
        .contains(new Baggage("shop", "web-0"));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        ",",
        "=x",
        "k8s.namespace.name",
        "k8s.namespace.name=shop",
        "k8s.deployment.name=web",
        "k8s.namespace.name=,k8s.deployment.name=web",
        "k8s.namespace.name=shop,k8s.deployment.name=web,k8s.pod.name=web-0",
        "k8s.namespace.name=shop,k8s.namespace.name=shop,k8s.pod.name=a",
        "k8s.namespace.name=shop,k8s.pod.name=a b",
        "k8s.namespace.name=shop,k8s.pod.name=\"a\"",
        "k8s.namespace.name=shop,k8s.pod.name=%4",
        "k8s.namespace.name=shop,k8s.pod.name=%zz",
        "k8s.namespace.name=shop,k8s.pod.name=%C3",
        "k8s.namespace.name=shop,k8s.pod.name=é",
        "k8s.namespace.name=shop,k8s.pod.name=a,"
      })
  void whatCannotBeReadNamesNobody(String field) {
    assertThat(Baggage.read(List.of(field))).isEmpty();
  }

  @Test
  void moreThanTheHeaderMayHaveIsNotRead() {
    String told = "k8s.namespace.name=shop,k8s.pod.name=a";
    String filler = ",x=" + "y".repeat(Baggage.MAX_LENGTH - told.length() - 3);
    assertThat(Baggage.read(List.of(told + filler))).isPresent();
    assertThat(Baggage.read(List.of(told + filler + "y"))).isEmpty();
    assertThat(Baggage.read(List.of(told + filler, "z=1"))).isEmpty();
  }
}
