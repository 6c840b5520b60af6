"""Microsoft Azure, eastus, Linux. Format: family_table.py.

On-demand prices as of 2026-06-18 from Azure/karpenter-provider-azure 352646f2 (Apache-2.0); vCPUs, memory, GPUs and the
burstable baselines from Azure's size documentation. Sizes whose price in that list is not the family's own (it quotes
twice the price for some of the AMD v5 sizes) are left out. Neither spot prices nor interruption rates are in a source we may ship: 60 % off
and 10 % a month are flyball's own estimates.
"""

from __future__ import annotations

from flyball.adapters.catalog.family_table import Cloud

AZURE_EASTUS = Cloud(
    name="azure",
    region="eastus",
    as_of="2026-06-18",
    spot_as_of="2026-06-18",
    source="built-in table",
    spot_source="built-in table",
    families="""
// name                  processor      GiB/vC    $/h      spot band gpu:MiB    sizes
Standard_D#s_v5          icelake        4         0.048    60?  10   -          2 4 8 16 32 48 64 96
Standard_D#ds_v5         icelake        4         0.0565   60?  10   -          2 4 8 16 32 48 64 96
Standard_D#ls_v5         icelake        2         0.0425   60?  10   -          2 4 8 16 32 48 64 96
Standard_D#lds_v5        icelake        2         0.048    60?  10   -          2 4 8 16 32 48 64 96
Standard_D#as_v5         zen3           4         0.043    60?  10   -          4 8 16 32 48
Standard_D#ads_v5        zen3           4         0.0515   60?  10   -          4 8 64 96
Standard_D#ps_v5         altra          4         0.0385   60?  10   -          2 4 8 16 32 48 64@208
Standard_D#pls_v5        altra          2         0.034    60?  10   -          2 4 8 16 32 48 64
Standard_D#s_v6          emeraldrapids  4         0.0504   60?  10   -          2 4 8 16 32 48 64 96 128
Standard_D#ds_v6         emeraldrapids  4         0.06229  60?  10   -          2 4 8 16 32 48 64 96 128
Standard_D#ls_v6         emeraldrapids  2         0.044627 60?  10   -          2 4 8 16 32 48 64 96 128
Standard_D#as_v6         zen4           4         0.0454   60?  10   -          2 4 8 16 32 48 64 96
Standard_D#ads_v6        zen4           4         0.057    60?  10   -          2 4 8 16 32 48 64 96
Standard_D#als_v6        zen4           2         0.0402   60?  10   -          2 4 8 16 32 48 64 96
Standard_D#ps_v6         cobalt100      4         0.0351   60?  10   -          2 4 8 16 32 48 64 96
Standard_D#pds_v6        cobalt100      4         0.0459   60?  10   -          2 4 8 16 32 48 64 96
Standard_D#pls_v6        cobalt100      2         0.031    60?  10   -          2 4 8 16 32 48 64 96
Standard_D#s_v7          graniterapids  4         0.06615  60?  10   -          2 4 8 16 32 48 64 96 128 192
Standard_D#as_v7         zen5           4         0.0454   60?  10   -          2 4 8 16 32 48 64 96 128 160
Standard_D#ads_v7        zen5           4         0.057    60?  10   -          2 4 8 16 32 48 64 96 128 160
Standard_D#als_v7        zen5           2         0.0402   60?  10   -          2 4 8 16 32 48 64 96 128 160
Standard_E#s_v5          icelake        8         0.063    60?  10   -          2 4 8 16 20 32 48 64@512 96@672
Standard_E#ds_v5         icelake        8         0.072    60?  10   -          2 4 8 16 20 32 48 64@512 96@672
Standard_E#as_v5         zen3           8         0.0565   60?  10   -          2 16 48
Standard_E#ps_v5         altra          8         0.0504   60?  10   -          2 4 8 16 20 32@208
Standard_E#s_v6          emeraldrapids  8         0.06615  60?  10   -          2 4 8 16 20 32 48 64 96 128
Standard_E#as_v6         zen4           8         0.0596   60?  10   -          2 4 8 16 20 32 48 64 96@672
Standard_E#ads_v6        zen4           8         0.0726   60?  10   -          2 4 8 16 20 32 48 64 96@672
Standard_E#ps_v6         cobalt100      8         0.0461   60?  10   -          2 4 8 16 32 48 64 96@672
Standard_E#as_v7         zen5           8         0.0596   60?  10   -          2 4 8 16 32 48 64 96 128 160
Standard_F#s_v2          cascadelake    2         0.0423   60?  10   -          2 4 8 16 32 48 64 72
Standard_F#als_v6        zen4           2         0.0605   60?  10   -          2 4 8 16 32 48 64
Standard_F#as_v6         zen4           4         0.0683   60?  10   -          2 4 8 16 32 48 64
Standard_F#ams_v6        zen4           8         0.0895   60?  10   -          2 4 8 16 32 48 64
Standard_F#als_v7        zen5           2         0.0605   60?  10   -          1 2 4 8 16 32 48 64 80
Standard_F#as_v7         zen5           4         0.0683   60?  10   -          1 2 4 8 16 32 48 64 80
Standard_F#ams_v7        zen5           8         0.0895   60?  10   -          1 2 4 8 16 32 48 64 80
// burstable: ~ is the baseline share of a vCPU
Standard_B#ls            cascadelake    0.5       0.0052   60?  10   -          1~0.05
Standard_B#s             cascadelake    1         0.0104   60?  10   -          1~0.1 2@4$0.0416~0.2
Standard_B#ms            cascadelake    4         0.0416   60?  10   -          1@2$0.0207~0.2 2~0.3 4~0.225 8~0.17 12~0.17 16~0.17 20~0.17
// GPUs
Standard_NC#as_T4_v3     zen2           7         0.132    60?  10   T4:16384   4$0.526/1 8$0.752/1 16@110$1.204/1 64@440$4.352/4
Standard_NV#ads_A10_v5   zen3           12.222222 0.0889   60?  10   A10:24564  36@440$3.2/1 72@880$6.52/2
Standard_NC#ads_A100_v4  zen3           9.1666667 0.153042 60?  10   A100:81920 24/1 48/2 96/4
Standard_NC#ads_H100_v5  zen4           8         0.1745   60?  10   H100:95830 40@320$6.98/1
Standard_NC#adis_H100_v5 zen4           8         0.1745   60?  10   H100:95830 80@640$13.96/2
Standard_ND#asr_v4       zen2           9.375     0.283302 60?  10   A100:40960 96@900$27.197/8
Standard_ND#isr_H100_v5  sapphirerapids 19.791667 1.024167 60?  10   H100:81559 96@1900$98.32/8
""",
)
