# Draws what examples/three_estimators.cpp wrote:
#   gnuplot -e "folder='build/three_estimators'" examples/three_estimators.gnuplot
densities = folder."/densities.dat"
stats densities using 1:2 nooutput
low_x = STATS_min_x; high_x = STATS_max_x; low_y = STATS_min_y; high_y = STATS_max_y
set contour base
unset surface
set cntrparam levels discrete 0.0005, 0.002, 0.005, 0.01, 0.02, 0.03
do for [m = 1:3] {
  set table sprintf("%s/contours%d.dat", folder, m)
  splot densities using 1:2:(column(2 + m))
  unset table
}
unset contour
# Every contour's level stands at its lowest point; darker is denser.
do for [m = 1:3] {
  contours = sprintf("%s/contours%d.dat", folder, m)
  set print sprintf("%s/levels%d.dat", folder, m)
  stats contours using 1:2 nooutput
  do for [level = 0:STATS_blocks - 1] {
    stats contours index level using 1:2 nooutput
    place = sprintf("%.6g %.6g", STATS_pos_min_y, STATS_min_y)
    stats contours index level using 3 nooutput
    print place, STATS_mean
  }
  unset print
}
set palette defined (0 "#8fb8d0", 1 "#20639b", 2 "#0b2239")
unset colorbox
set style textbox opaque fillcolor rgb "white" noborder margins 0.3,0.2

set terminal pngcairo size 1500,600 font "Sans,13" background "#ffffff"
set output folder."/three_estimators.png"
set multiplot layout 1,3 margins 0.05,0.99,0.17,0.92 spacing 0.035,0
set xrange [low_x:high_x]
set yrange [low_y:high_y]
set tics out nomirror
set xlabel "bill length [mm]"
set cbrange [log(0.0005):log(0.03)]
set key bottom left reverse Left samplen 1
array titles[3] = ["maximum likelihood", "implicit score matching", "denoising score matching, σ = 0.3"]
array names[3] = ["Adelie", "Chinstrap", "Gentoo"]
do for [m = 1:3] {
  set title titles[m]
  set ylabel m == 1 ? "bill depth [mm]" : "" offset 1,0
  unset label
  if (m == 1) { set label "contours: density per mm²;  bold: the share of each species ± its standard error" at screen 0.52,0.03 center }
  plot for [k = 1:3] folder."/birds.dat" using 1:($3 == k ? $2 : 1/0) with points pointtype 7 pointsize 0.7 \
         linecolor rgb word("#3caea3 #ed553b #f6b53c", k) title (m == 1 ? names[k] : ""), \
       sprintf("%s/contours%d.dat", folder, m) using 1:2:(log($3)) with lines linewidth 1.6 linecolor palette notitle, \
       sprintf("%s/levels%d.dat", folder, m) using 1:2:(gprintf("%g", $3)) with labels boxed font "Sans,9" notitle, \
       folder."/shares.dat" using 1:2:(stringcolumn(2 + m)) with labels font "Sans Bold,13" textcolor rgb "#173f5f" notitle
}
unset multiplot
