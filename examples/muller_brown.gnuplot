# Draws what examples/muller_brown.cpp wrote:  gnuplot -e "folder='build/muller_brown'" examples/muller_brown.gnuplot
set terminal pngcairo size 1500,720 font "Sans,13" background "#ffffff"
set output folder."/muller_brown.png"
set xrange [-1.6:1.3]
set yrange [-0.5:2.1]
set table $contours
set contour base
unset surface
set cntrparam levels incremental -140,20,80
splot folder."/potential.dat" using 1:2:3
unset table
unset contour

set multiplot layout 1,2 margins 0.05,0.985,0.1,0.93 spacing 0.06,0
unset key
set tics out nomirror
set xlabel "x"
set ylabel "y" offset 1,0
do for [k=1:2] {
  file = folder.(k == 1 ? "/hmc.csv" : "/tempering.csv")
  set title k == 1 ? "hmc: each chain stays in the basin where it began" : "parallel tempering: chains cross, the shares are right"
  set datafile separator ","
  stats file using ($2 > 1 + 0.5*$1 ? 1 : 0) skip 1 nooutput
  set label 1 sprintf("%.1f %% of the draws", 100*STATS_mean) at -1.5,1.95
  set label 2 sprintf("%.1f %%", 100*(1 - STATS_mean)) at 0.85,-0.35
  plot file using 1:2 skip 1 with points pointtype 7 pointsize 0.3 linecolor rgb (k == 1 ? "#80ed553b" : "#8020639b"), \
       $contours using 1:2 with lines linecolor rgb "#777777" linewidth 1
}
unset multiplot
