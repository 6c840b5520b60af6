"""Google Cloud, us-central1, Linux. Format: family_table.py.

On-demand and spot prices as of 2026-08-03 from cloudpilot-ai/karpenter-provider-gcp 417f047b, sizes as of 2026-08-20 from
Cyclenerd/google-cloud-pricing-cost-calculator dac31281 (both Apache-2.0). Google charges by vCPU and GiB, so does the table.
The spot discount is the real one of that date (Google changes it at most once a month). Google publishes no interruption
rates: 10 % a month is flyball's own estimate. GPU counts per machine type from Google's documentation.
"""

from __future__ import annotations

from flyball.adapters.catalog.family_table import Cloud

GCP_US_CENTRAL1 = Cloud(
    name="gcp",
    region="us-central1",
    as_of="2026-08-03",
    spot_as_of="2026-08-03",
    source="built-in table",
    spot_source="built-in table",
    families="""
// name        processor           GiB/vC    $/h                spot band gpu:MiB            sizes
// shared cores: ~ is the share of a vCPU that Google lets run without end
e2-#           broadwell           4         0.021811+0.002924  40   10   -                  micro=2@1$0.008376~0.125 small=2@2$0.016753~0.25 medium=2@4$0.033506~0.5
e2-standard-#  broadwell           4         0.021811+0.0029237 40   10   -                  2 4 8 16 32
e2-highcpu-#   broadwell           1         0.021811+0.0029237 40   10   -                  2 4 8 16 32
e2-highmem-#   broadwell           8         0.021811+0.0029237 40   10   -                  2 4 8 16
n2-standard-#  cascadelake         4         0.031611+0.004237  53   10   -                  2 4 8 16 32 48 64 80 96 128
n2-highcpu-#   cascadelake         1         0.031611+0.004237  53   10   -                  2 4 8 16 32 48 64 80 96
n2-highmem-#   cascadelake         8         0.031611+0.004237  53   10   -                  2 4 8 16 32 48 64 80 96
n2d-standard-# zen3                4         0.027502+0.003686  71   10   -                  2 4 8 16 32 48 64 80 96 128 224
n2d-highcpu-#  zen3                1         0.027502+0.003686  71   10   -                  2 4 8 16 32 48 64 80 96 128 224
n2d-highmem-#  zen3                8         0.027502+0.003686  71   10   -                  2 4 8 16 32 48 64 80 96
n4-standard-#  sapphirerapids-slow 4         0.03119+0.00354    51   10   -                  2 4 8 16 32 48 64 80
n4-highcpu-#   sapphirerapids-slow 2         0.03119+0.00354    51   10   -                  2 4 8 16 32 48 64 80
n4-highmem-#   sapphirerapids-slow 8         0.03119+0.00354    51   10   -                  2 4 8 16 32 48 64 80
n4a-standard-# axion-n3            4         0.02646+0.00301    58   10   -                  1 2 4 8 16 32 48 64
n4a-highcpu-#  axion-n3            2         0.02646+0.00301    58   10   -                  1 2 4 8 16 32 48 64
n4a-highmem-#  axion-n3            8         0.02646+0.00301    58   10   -                  1 2 4 8 16 32 48 64
n4d-standard-# zen5                4         0.02911+0.00331    51   10   -                  2 4 8 16 32 48 64 80 96
n4d-highcpu-#  zen5                2         0.02911+0.00331    51   10   -                  2 4 8 16 32 48 64 80 96
n4d-highmem-#  zen5                8         0.02911+0.00331    51   10   -                  2 4 8 16 32 48 64 80 96
t2d-standard-# zen3                4         0.027502+0.003686  63   10   -                  1 2 4 8 16 32 48 60
t2a-standard-# altra               4         0.0245+0.0035      57   10   -                  1 2 4 8 16 32 48
c2-standard-#  cascadelake-fast    4         0.035254+0.004237  52   10   -                  4 8 16 30 60
c2d-standard-# zen3                4         0.029563+0.003959  66   10   -                  2 4 8 16 32 56 112
c2d-highcpu-#  zen3                2         0.029563+0.003959  66   10   -                  2 4 8 16 32 56 112
c2d-highmem-#  zen3                8         0.029563+0.003959  66   10   -                  2 4 8 16 32 56 112
c3-standard-#  sapphirerapids-slow 4         0.03465+0.003938   75   10   -                  4 8 22 44 88 176
c3-highcpu-#   sapphirerapids-slow 2         0.03465+0.003938   75   10   -                  4 8 22 44 88 176
c3-highmem-#   sapphirerapids-slow 8         0.03465+0.003938   75   10   -                  4 8 22 44 88 176
c3d-standard-# zen4                4         0.029563+0.003959  78   10   -                  4 8 16 30 60 90 180 360
c3d-highcpu-#  zen4                2         0.029563+0.003959  78   10   -                  4 8 16 30@59 60@118 90@177 180@354 360@708
c3d-highmem-#  zen4                8         0.029563+0.003959  78   10   -                  4 8 16 30 60 90 180 360
c4-standard-#  emeraldrapids       3.75      0.03465+0.003938   40   10   -                  2@7 4 8 16 24 32 48 96 144 192 288
c4-highcpu-#   emeraldrapids       2         0.03465+0.003938   40   10   -                  2 4 8 16 24 32 48 96 144 192 288
c4-highmem-#   emeraldrapids       7.75      0.03465+0.003938   40   10   -                  2@15 4 8 16 24 32 48 96 144 192 288
c4a-standard-# axion               4         0.03086+0.00351    57   10   -                  1 2 4 8 16 32 48 64 72
c4a-highcpu-#  axion               2         0.03086+0.00351    57   10   -                  1 2 4 8 16 32 48 64 72
c4a-highmem-#  axion               8         0.03086+0.00351    57   10   -                  1 2 4 8 16 32 48 64 72
c4d-standard-# zen5                3.875     0.032703+0.0037535 65   10   -                  2@7 4@15 8 16 32 48 64 96 192 384
c4d-highcpu-#  zen5                1.875     0.032703+0.0037535 65   10   -                  2@3 4@7 8 16 32 48 64 96 192 384
c4d-highmem-#  zen5                7.875     0.032703+0.0037535 65   10   -                  2@15 4@31 8 16 32 48 64 96 192 384
m3-megamem-#   icelake             15.25     0.112575           42   10   -                  64 128
m3-ultramem-#  icelake             30.5      0.19035            42   10   -                  32 64 128
// GPUs
g2-standard-#  cascadelake         4         0.0541993          44   10   L4:23034           4$0.706832/1 8$0.853624/1 12$1.000416/1 16$1.147208/1 24$2.000832/2 32$1.734378/1 48$4.001664/4 96$8.003328/8
a2-highgpu-#   cascadelake         7.0833333 0.306115           48   10   A100:40960         1g=12/1 2g=24/2 4g=48/4 8g=96/8
a2-megagpu-#   cascadelake         14.166667 0.58062            48   10   A100:40960         16g=96/16
a2-ultragpu-#  cascadelake         14.166667 0.4224             46   10   A100:81920         1g=12/1 2g=24/2 4g=48/4 8g=96/8
a3-highgpu-#   sapphirerapids-slow 9         0.425433           43   10   H100:81559         1g=26/1 2g=52/2 4g=104/4 8g=208/8
g4-standard-#  zen5                3.75      0.0937485          60   10   RTX-PRO-6000:97887 48/1 96/2 192/4 384/8
""",
)
